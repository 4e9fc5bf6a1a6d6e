"""A disk that is full, or read-only: one message, and the same command goes on afterwards."""

import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from paretune.search import api, driver, pick, workbench
from paretune.search.journal import JOURNAL
from paretune.search.store import StudyStore
from paretune.search.trial import TrialStatus
from tests.disk import SmallDisk
from tests.search.command import paretune, refused
from tests.search.tiny import project, write

__all__ = ["project"]

TRIALS = 8


@pytest.fixture
def disk(project: Path) -> Iterator[SmallDisk]:
    """Where the study of `tiny.yaml` is."""
    disk = SmallDisk(project / "disk", mib=32)
    write(
        project,
        output=str(disk.folder / "study"),
        search={"trials": TRIALS, "sampler": "random", "racing": False},
    )
    yield disk
    disk.close()


def before(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, number: int, act: Callable[[], None]
) -> None:
    """Do something right before the call of that number, counted from 1."""
    function, calls = getattr(owner, name), count(1)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == number:
            act()
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, wrapped)


def lines(study: Path) -> list[bytes]:
    """Of the journal; every one is whole."""
    path = study / JOURNAL
    found = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    assert all(json.loads(line) and line.endswith(b"\n") for line in found)
    return found


WHILE: dict[str, tuple[Any, str, int]] = {
    "the graph is cleaned": (workbench, "check_splits", 1),
    "fp32 is built": (api, "attempt_reference", 1),
    "layers are compressed": (api, "compress_choices", 1),
    "a candidate is built": (workbench.Workbench, "apply", 4),
    "a trial is recorded": (workbench.Workbench, "measure", 4),
    "the front is confirmed": (driver, "confirm", 1),
    "figures are written": (api, "write_outputs", 1),
}


def test_a_disk_that_is_full_again_and_again(
    disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = disk.folder / "study"
    for leave in (0, 32 << 10):
        # No room for the lock; none for the data.
        disk.fill(leave)
        message = refused("search", "tiny.yaml")
        assert "No space left" in message or "the disk is full" in message
        assert "\n" not in message
        disk.clear()
    known: list[bytes] = []
    for where, (owner, name, number) in WHILE.items():
        with monkeypatch.context() as patch:
            before(patch, owner, name, number, disk.fill)
            message = refused("search", "tiny.yaml")
        assert "is full" in message or "No space left" in message, where
        assert "\n" not in message
        disk.clear()
        assert lines(study)[: len(known)] == known, where
        known = lines(study)
    searched = paretune("search", "tiny.yaml")
    assert searched.exit_code == 0, searched.output
    trials = StudyStore.open(study).trials()
    assert len({trial.policy for trial in trials}) == len(trials) == TRIALS
    assert {trial.status for trial in trials} == {TrialStatus.COMPLETE}
    assert not [path for path in study.rglob("*") if path.name.startswith(".")]

    with monkeypatch.context() as patch:
        before(patch, pick, "verify", 1, disk.fill)
        assert refused("pick", "tiny.yaml", "--trial", "0").startswith("the disk is full")
    assert not [*study.glob("picks/*"), *study.glob("picks/.*")]
    disk.clear()
    assert paretune("pick", "tiny.yaml", "--trial", "0").exit_code == 0
    assert [path.name for path in study.glob("picks/*")] == ["trial-0"]


def test_a_read_only_folder(disk: SmallDisk) -> None:
    disk.read_only()
    assert "Read-only file system" in refused("search", "tiny.yaml")
    disk.read_only(False)
    assert paretune("search", "tiny.yaml", "--trials", "5").exit_code == 0
    known = lines(disk.folder / "study")
    disk.read_only()
    assert "Read-only file system" in refused("search", "tiny.yaml")
    assert "read-only" in refused("pick", "tiny.yaml", "--trial", "0", "--output", "elsewhere")
    assert "front of" in paretune("front", "tiny.yaml").stdout
    disk.read_only(False)
    assert lines(disk.folder / "study") == known
    assert paretune("search", "tiny.yaml").exit_code == 0
    assert len(StudyStore.open(disk.folder / "study").trials()) == TRIALS


@pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated:sqlalchemy.exc.SADeprecationWarning"
)
def test_a_full_disk_under_mlflow_ends_no_search(
    disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{disk.folder / 'mlflow.db'}"
    write(disk.folder.parent, tracking={"uri": uri}, search={"trials": 5, "sampler": "random"})
    with monkeypatch.context() as patch:
        before(patch, driver, "confirm", 1, disk.fill)
        searched = paretune("search", "tiny.yaml")
    assert searched.exit_code == 0, searched.output
    # The terminal breaks lines wherever a path is long.
    assert f"MLflowat'{uri}'fails" in "".join(searched.stdout.split())
    message = refused("sync", "tiny.yaml")
    assert "full" in message
    assert "\n" not in message
    disk.clear()
    assert paretune("sync", "tiny.yaml").exit_code == 0
