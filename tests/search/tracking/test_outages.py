"""A real MLflow server that freezes, dies and is replaced during a search."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.benchmarks.mlflow_records import recorded
from experiments.benchmarks.mlflow_server import MlflowServer, free_port
from paretune.search.config import TrackingSection
from paretune.search.listener import Snapshot
from paretune.search.tracking import MlflowTracker, sync
from paretune.search.tracking import tracker as tracker_module
from tests.search.synthetic import make_trials
from tests.search.tracking.studies import OLD_SQLALCHEMY, apply, confirm, end, fill

pytestmark = OLD_SQLALCHEMY


def test_a_night_with_outages(
    uri: str, empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker_module, "PERIOD_S", 0.0)
    monkeypatch.setattr(tracker_module, "PATIENCE", 0.0)
    monkeypatch.setattr(tracker_module, "GRACE_S", 0.1)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    port, said = free_port(), list[str]()
    trials = make_trials(12)
    waiting = list(trials)
    with (
        fill(tmp_path / "s", []) as store,
        MlflowServer(tmp_path / "first", empty_database, port) as first,
        MlflowServer(tmp_path / "second", empty_database, port) as second,
    ):
        section = TrackingSection(uri=first.uri, experiment="night")
        tracker = MlflowTracker(section, apply, said.append)

        def search(until: Callable[[], bool]) -> None:
            """Two trials more, after which the tracker is called often."""
            for _ in range(2):
                store.record(waiting.pop(0))
                tracker.on_trial(trials[0], Snapshot(trials=12))
            while not until():
                time.sleep(0.01)
                tracker.on_trial(trials[0], Snapshot(trials=12))

        def told(count: int, end: str = "") -> Callable[[], bool]:
            return lambda: len(said) == count and said[-1].endswith(end)

        first.start()
        tracker.on_start(store)
        with monkeypatch.context() as patient:
            patient.setattr(tracker_module, "GRACE_S", 60.0)
            search(lambda: True)
        assert not said
        first.freeze()
        search(told(1))
        assert "the search goes on without it" in said[0]
        first.thaw()
        search(told(2, "works again"))
        first.kill()
        search(told(3))
        # A server without anything in it takes the place of the first.
        second.start()
        search(told(4, "works again"))
        for trial in waiting:
            store.record(trial)
        confirm(store, trials)
        end(tracker, store)
        assert len(said) == 4
        undisturbed = TrackingSection(uri=uri, experiment="night")
        sync(store, undisturbed, apply)
        expected = recorded(
            uri, Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts", "night"
        )
        assert recorded(second.database, second.artifacts, "night") == expected
        sync(store, section, apply)
        assert recorded(second.database, second.artifacts, "night") == expected
        second.kill()
        # What the first had been told before it died is made whole, too.
        first.start()
        sync(store, section, apply)
        assert recorded(first.database, first.artifacts, "night") == expected
