"""Rebuilding MLflow's records from a study, wherever an earlier attempt broke off."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from experiments.benchmarks.mlflow_records import recorded
from paretune.search.config import TrackingSection
from paretune.search.tracking import projection as projection_module
from paretune.search.tracking import sync
from paretune.search.tracking.client import connect
from tests.search.synthetic import make_trials
from tests.search.tracking.studies import OLD_SQLALCHEMY, apply, fill

pytestmark = OLD_SQLALCHEMY

EACH = [
    "create_experiment",
    "create_run",
    "log_batch",
    "log_inputs",
    "update_run",
    "log_text",
    "create_logged_model",
    "log_model_artifacts",
    "log_outputs",
    "finalize_logged_model",
    "set_terminated",
    "log_artifact",
]


class LosesAnswers:
    """A client whose server does what it is told, and then is gone before it says so."""

    def __init__(self, client: MlflowClient, call: str, after: int) -> None:
        self._client = client
        self._call = call
        self._left = after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name != self._call:
            return found

        def call(*args: Any, **options: Any) -> Any:
            result = found(*args, **options)
            self._left -= 1
            if self._left == 0:
                raise ConnectionResetError(name)
            return result

        return call


def test_whatever_was_written_already_is_not_written_again(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts"
    monkeypatch.setattr(projection_module, "write_outputs", write_one)

    def connecting(call: str, after: int) -> Callable[[str], Any]:
        return lambda where: LosesAnswers(connect(where), call, after)

    with fill(tmp_path / "s", make_trials(6)) as store:
        sync(store, TrackingSection(uri=uri, experiment="undisturbed"), apply)
        section = TrackingSection(uri=uri, experiment="disturbed")
        # The first such call, the parent's, and a later one, a child's.
        for after in (1, 2):
            for call in EACH:
                monkeypatch.setattr(projection_module, "connect", connecting(call, after))
                try:
                    sync(store, section, apply)
                except ConnectionResetError as error:
                    assert str(error) == call
        monkeypatch.setattr(projection_module, "connect", connect)
        sync(store, section, apply)
    undisturbed = recorded(uri, artifacts, "undisturbed")
    assert undisturbed["models"]
    assert recorded(uri, artifacts, "disturbed") == undisturbed


def write_one(_info: object, _trials: object, folder: Path) -> list[Path]:
    """Drawing is another test's matter."""
    path = folder / "front.csv"
    path.write_text("front")
    return [path]


def test_a_clock_that_was_set_back(uri: str, tmp_path: Path) -> None:
    day, begun = 24 * 3600.0, make_trials(1)[0].finished_at
    # Set back by a day after the third, and to before 1970 for the last ones.
    times = {3: begun - day, 4: begun - day + 1, 5: -1e6, 6: -1e6 + 1}
    trials = [
        replace(trial, finished_at=times.get(trial.number, begun + trial.number))
        for trial in make_trials(7)
    ]
    section = TrackingSection(uri=uri, experiment="set back")
    with fill(tmp_path / "s", trials) as store:
        parent = sync(store, section)
        assert sync(store, section) == parent
    client = MlflowClient(tracking_uri=uri)
    history = client.get_metric_history(parent, "front_size")
    assert sorted(point.step for point in history) == list(range(7))
    last = next(point for point in history if point.step == 6)
    found = client.get_experiment_by_name("set back")
    assert found is not None
    runs = client.search_runs([found.experiment_id])
    # What counts as the last value is that of the last trial, not that of the latest time.
    assert next(r for r in runs if r.info.run_id == parent).data.metrics["front_size"] == last.value
    assert len(runs) > 1
    for run in runs:
        assert 0 <= run.info.start_time <= run.info.end_time
