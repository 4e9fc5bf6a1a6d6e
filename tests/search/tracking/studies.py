"""Studies to record, and what MLflow says of them."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from paretune.evaluators import Artifact
from paretune.search.info import StudyInfo
from paretune.search.listener import Phase, Snapshot
from paretune.search.store import StudyStore
from paretune.search.tracking import MlflowTracker
from paretune.search.trial import Trial
from paretune.spaces import Policy
from tests import models
from tests.search.synthetic import make_info

# MLflow 3.17 asks SQLAlchemy 2.1 for something that is going away.
OLD_SQLALCHEMY = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated:sqlalchemy.exc.SADeprecationWarning"
)

DEAD = "http://127.0.0.1:9"
REFERENCE = (-0.8, 3.0)

_ITS_OWN = {"mlflow.parentRunId", "mlflow.user"}


def apply(policy: Policy, path: Path) -> Artifact:
    """A small model whose weights depend on the policy."""
    models.mlp(path, seed=int(policy.key[:8], 16))
    return Artifact(path, policy, hashlib.sha256(path.read_bytes()).hexdigest())


def fill(
    folder: Path, trials: list[Trial], name: str = "synthetic", info: StudyInfo | None = None
) -> StudyStore:
    store = StudyStore.create(folder, info or make_info(name=name))
    for trial in trials:
        store.record(trial)
    store.set_hypervolume_reference(REFERENCE)
    confirm(store, trials)
    return store


def confirm(store: StudyStore, trials: list[Trial]) -> None:
    """Record the confirmed figures, and those of the test split."""
    for trial in trials:
        if trial.confirmed:
            store.set_confirmed(trial.number, trial.confirmed)
            store.set_test(trial.number, trial.test)


def end(tracker: MlflowTracker, store: StudyStore) -> None:
    """Call a listener as the driver does after the search phase."""
    trials = len(store.trials())
    for phase in (Phase.CONFIRM, Phase.TEST):
        tracker.on_phase(Snapshot(phase, trials=trials))
    tracker.on_end(Snapshot(Phase.TEST, trials=trials))


def recorded(uri: str, artifacts: Path, experiment: str) -> dict[str, Any]:
    """All that an MLflow database holds of an experiment with one study, but ids and its own dates.

    Args:
        artifacts: the folder of its artifacts.
    """
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = {
        run.data.tags["paretune.trial"]: run for run in client.search_runs([found.experiment_id])
    }
    logged = client.search_logged_models([found.experiment_id])
    return {
        "runs": {trial: _run(client, run, artifacts) for trial, run in runs.items()},
        "count": len(client.search_runs([found.experiment_id])),
        "models": sorted(
            (model.name, str(model.status), model.tags["paretune.sha256"]) for model in logged
        ),
    }


def _run(client: MlflowClient, run: Run, artifacts: Path) -> dict[str, Any]:
    info, outputs = run.info, run.outputs.model_outputs if run.outputs else []
    return {
        "name": info.run_name,
        "status": info.status,
        "times": (info.start_time, info.end_time),
        "params": run.data.params,
        "tags": {name: value for name, value in run.data.tags.items() if name not in _ITS_OWN},
        "latest": run.data.metrics,
        "metrics": {
            name: sorted(
                (point.step, point.timestamp, point.value)
                for point in client.get_metric_history(info.run_id, name)
            )
            for name in run.data.metrics
        },
        "data": [one.dataset.digest for one in run.inputs.dataset_inputs] if run.inputs else [],
        "models": [_model(client, output.model_id, artifacts) for output in outputs],
        "artifacts": _files(_folder(info.artifact_uri, artifacts)),
    }


def _model(client: MlflowClient, model_id: str, artifacts: Path) -> dict[str, Any]:
    model = client.get_logged_model(model_id)
    folder = _folder(model.artifact_location, artifacts)
    return {
        "params": model.params,
        "metrics": sorted((m.key, m.step, m.value) for m in model.metrics or ()),
        "bytes": (folder / "model.onnx").read_bytes(),
        "files": sorted(path.name for path in folder.iterdir()),
    }


def _folder(uri: str, artifacts: Path) -> Path:
    """Where the artifacts are that MLflow calls `file:///…` or, served, `mlflow-artifacts:/…`."""
    return artifacts / uri.removeprefix(artifacts.as_uri()).removeprefix("mlflow-artifacts:").strip(
        "/"
    )


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
