"""Runs in MLflow, found again by their tags so that nothing is written twice."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from paretune.search.info import StudyInfo
from paretune.search.trial import Trial

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric as LoggedMetric

STUDY_TAG = "paretune.study"
TRIAL_TAG = "paretune.trial"
PICKED_TAG = "paretune.picked"
_PARENT_TAG = "mlflow.parentRunId"
BATCH = 1000
"""MLflow takes this many metrics at once."""


@dataclass(frozen=True)
class Point:
    """One value of a chart: what MLflow calls a metric."""

    name: str
    value: float
    time_ms: int
    step: int = 0


@dataclass(frozen=True)
class Record:
    """What is to stand in a run."""

    points: Sequence[Point] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def study_key(info: StudyInfo, trials: Sequence[Trial]) -> str:
    """What tells this study from any other, also from one begun anew under the same name.

    Args:
        trials: at least one; the time of the first is what no other study shares.
    """
    parts = {
        "name": info.name,
        "identity": dict(info.identity),
        "metrics": [asdict(metric) for metric in info.metrics],
        "first": [trials[0].policy.key, trials[0].finished_at],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def milliseconds(seconds: float) -> int:
    """A Unix time in seconds as MLflow takes it, which refuses what is before 1970.

    The clock of a board without a battery begins there.
    """
    return max(0, int(1000 * seconds))


def find_study(client: "MlflowClient", experiment: str, study: str) -> str | None:
    """The id of the study's parent run."""
    found = client.search_runs(
        [experiment], f"tags.`{STUDY_TAG}` = '{study}' and tags.`{TRIAL_TAG}` = ''", max_results=1
    )
    return str(found[0].info.run_id) if found else None


def create_study(
    client: "MlflowClient", experiment: str, study: str, info: StudyInfo, first: Trial
) -> str:
    """Make the study's parent run, which began with the `first` trial."""
    # MLflow cannot search for runs without a tag, so the parent carries an empty one.
    tags = {STUDY_TAG: study, TRIAL_TAG: "", "mlflow.source.name": "paretune"}
    run = client.create_run(experiment, _started(first), tags, run_name=info.name)
    return str(run.info.run_id)


def find_children(client: "MlflowClient", experiment: str, parent: str) -> dict[int, str]:
    """Trial number to run id, of the parent's child runs."""
    children: dict[int, str] = {}
    token = None
    while True:
        page = client.search_runs(
            [experiment], f"tags.`{_PARENT_TAG}` = '{parent}'", max_results=1000, page_token=token
        )
        children |= {int(run.data.tags[TRIAL_TAG]): str(run.info.run_id) for run in page}
        token = page.token
        if not token:
            return children


def create_child(
    client: "MlflowClient", experiment: str, parent: str, study: str, trial: Trial
) -> str:
    """Make the run of one trial."""
    tags = {STUDY_TAG: study, TRIAL_TAG: str(trial.number), _PARENT_TAG: parent}
    run = client.create_run(experiment, _started(trial), tags, run_name=f"trial {trial.number}")
    return str(run.info.run_id)


def log_data(client: "MlflowClient", run_id: str, info: StudyInfo) -> None:
    """Name the data, unless the run has it already."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    digest = info.identity.get("data", "")[:36]
    inputs = client.get_run(run_id).inputs
    if not digest or (inputs is not None and inputs.dataset_inputs):
        return
    name = str(info.config.get("data") or "data")[:500]
    data = Dataset(name, digest, "code", json.dumps({"function": name}))
    tags = [InputTag("mlflow.data.context", "search")]
    client.log_inputs(run_id, [DatasetInput(data, tags)])


def is_picked(client: "MlflowClient", run_id: str) -> bool:
    """Whether the registry refers to this run."""
    return PICKED_TAG in client.get_run(run_id).data.tags


def write(client: "MlflowClient", run_id: str, record: Record, model_id: str | None = None) -> None:
    """Write a record, however often.

    MLflow drops a point that it has already (equal name, time, step and value).

    Args:
        model_id: what the points are also figures of.
    """
    from mlflow.entities import Metric, Param, RunTag

    metrics: list[LoggedMetric] = [
        Metric(p.name, p.value, p.time_ms, p.step, model_id=model_id, run_id=run_id)
        for p in record.points
    ]
    params = [Param(name, value) for name, value in record.params.items()]
    tags = [RunTag(name, value) for name, value in record.tags.items()]
    if params or tags:
        client.log_batch(run_id, params=params, tags=tags)
    for begin in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[begin : begin + BATCH])


def _started(trial: Trial) -> int:
    return milliseconds(trial.finished_at - trial.duration)
