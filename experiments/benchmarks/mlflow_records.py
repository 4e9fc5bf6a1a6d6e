"""All that MLflow holds of a study, to compare one server with another."""

from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

_ITS_OWN = {"mlflow.parentRunId", "mlflow.user"}


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
