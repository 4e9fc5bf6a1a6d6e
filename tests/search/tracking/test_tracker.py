"""Keeping MLflow up to date while a search runs, whatever MLflow does."""

import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient

from paretune.errors import UserError
from paretune.search.config import TrackingSection
from paretune.search.front import front
from paretune.search.listener import Snapshot
from paretune.search.store import StudyStore
from paretune.search.tracking import MlflowTracker, check_reachable
from paretune.search.tracking import tracker as tracker_module
from paretune.search.tracking.projection import Projection
from tests.search.synthetic import make_trials
from tests.search.tracking.studies import DEAD, OLD_SQLALCHEMY, apply, end, fill

pytestmark = OLD_SQLALCHEMY


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StudyStore]:
    with fill(tmp_path / "s", make_trials(8)) as store:
        yield store


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write after every trial, which is waited for."""
    monkeypatch.setattr(tracker_module, "PERIOD_S", 0.0)
    monkeypatch.setattr(tracker_module, "PATIENCE", 0.0)
    monkeypatch.setattr(tracker_module, "GRACE_S", 60.0)


def drive(tracker: MlflowTracker, store: StudyStore) -> None:
    """Call a listener as the driver does."""
    tracker.on_start(store)
    for done, trial in enumerate(store.trials(), 1):
        tracker.on_trial(trial, Snapshot(trials=done))
    end(tracker, store)


@pytest.mark.usefixtures("hasty")
def test_a_dead_server_is_told_of_once_and_at_the_end(store: StudyStore) -> None:
    said: list[str] = []
    drive(MlflowTracker(TrackingSection(uri=DEAD), None, said.append), store)
    fails, missing = said
    assert fails.startswith(f"MLflow at '{DEAD}' fails, the search goes on without it: ")
    assert f"`paretune sync {store.folder}` will catch up" in missing


@pytest.mark.usefixtures("hasty")
def test_a_server_that_comes_back_gets_everything(
    uri: str, store: StudyStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[str] = []
    section = TrackingSection(uri=DEAD, experiment="revived")
    tracker = MlflowTracker(section, apply, said.append)
    tracker.on_start(store)
    trials = store.trials()
    tracker.on_trial(trials[0], Snapshot(trials=8))
    monkeypatch.setattr(tracker, "_section", section.model_copy(update={"uri": uri}))
    for trial in trials[1:]:
        tracker.on_trial(trial, Snapshot(trials=8))
    end(tracker, store)
    assert [line.endswith("works again") for line in said] == [False, True]
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("revived")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 1 + len(front(trials, store.info.objectives))
    assert not [r for r in caplog.records if r.name.startswith("mlflow") and r.levelno < 40]


class Broken(BaseHTTPRequestHandler):
    """Says that it is the server's fault, whatever is asked."""

    def __getattr__(self, name: str) -> Callable[[], None]:
        if not name.startswith("do_"):
            raise AttributeError(name)
        return lambda: self.send_error(500)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.mark.usefixtures("hasty")
def test_a_server_that_answers_500_to_all(store: StudyStore) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Broken) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            uri = f"http://127.0.0.1:{server.server_port}"
            with pytest.raises(UserError, match="too many 500 error responses"):
                check_reachable(uri)
            said: list[str] = []
            drive(MlflowTracker(TrackingSection(uri=uri), None, said.append), store)
        finally:
            server.shutdown()
            thread.join()
    fails, missing = said
    assert "too many 500 error responses" in fails
    assert "will catch up" in missing


class Hanging:
    """Stands for a projection to a server that answers when it likes."""

    def __init__(self) -> None:
        self.writes = 0
        self.stuck = Event()
        self.answer = Event()

    def __call__(self, *_: object) -> "Hanging":
        return self

    def write_steps(self, *_: object) -> Iterator[None]:
        self.writes += 1
        self.stuck.set()
        self.answer.wait()
        yield

    def write_children(self, *_: object) -> Iterator[None]:
        yield

    write_outputs = write_children

    def end(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    """No write ends before it is told to."""
    projection = Hanging()
    monkeypatch.setattr(tracker_module, "Projection", projection)
    yield projection
    projection.answer.set()


def test_a_write_that_hangs_is_neither_waited_for_nor_begun_again(
    store: StudyStore, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker_module, "PERIOD_S", 0.0)
    monkeypatch.setattr(tracker_module, "PATIENCE", 0.0)
    monkeypatch.setattr(tracker_module, "GRACE_S", 0.0)
    monkeypatch.setattr(tracker_module, "STILL_S", 0.0)
    said: list[str] = []
    tracker = MlflowTracker(TrackingSection(uri=DEAD), None, said.append)
    tracker.on_start(store)
    tracker.on_trial(store.trials()[0], Snapshot(trials=1))
    assert hanging.stuck.wait(60)
    # That this returns at all is the point: the server never answers.
    for trial in store.trials():
        tracker.on_trial(trial, Snapshot(trials=8))
    end(tracker, store)
    assert hanging.writes == 1
    (missing,) = said
    assert "will catch up" in missing


def test_the_search_waits_for_a_write_that_hangs_a_second_or_so(
    store: StudyStore, hanging: Hanging
) -> None:
    tracker = MlflowTracker(TrackingSection(uri=DEAD), None, lambda _: None)
    tracker.on_start(store)
    begin = time.monotonic()
    tracker.on_phase(Snapshot(trials=8))
    # A machine that is busy is late, but not by so much.
    assert time.monotonic() - begin < 20
    assert hanging.stuck.wait(60)


def test_at_the_end_a_slow_server_is_waited_for(
    store: StudyStore, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker_module, "GRACE_S", 0.0)
    said: list[str] = []
    tracker = MlflowTracker(TrackingSection(uri=DEAD), None, said.append)
    tracker.on_start(store)
    tracker.on_phase(Snapshot(trials=8))
    assert hanging.stuck.wait(60)
    answering = Thread(target=hanging.answer.set)
    answering.start()
    tracker.on_end(Snapshot(trials=8))
    answering.join()
    # The charts of the search, and then everything.
    assert hanging.writes == 2
    assert not said


def test_it_writes_seldom(store: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    writes: list[float] = []

    def slow(*_: object) -> None:
        writes.append(clock.now)
        clock.now += 2.0
        raise OSError("timed out")

    monkeypatch.setattr(Projection, "__init__", slow)
    monkeypatch.setattr(tracker_module, "GRACE_S", 60.0)
    tracker = MlflowTracker(TrackingSection(uri=DEAD), None, lambda _: None)
    tracker.on_start(store)
    trial = store.trials()[0]
    while clock.now < 400:
        tracker.on_trial(trial, Snapshot(trials=3))
        clock.now += 1.0
    # The first after 15 s; each takes 2 s, so the next is 100 s later.
    assert writes == [15.0, 117.0, 219.0, 321.0]
