"""Limits of the system that a search runs into: one message, and the same command goes on."""

import resource
import subprocess
import sys
import time
from itertools import cycle
from pathlib import Path

import pytest

from paretune.errors import UserError
from paretune.search.journal import JOURNAL
from paretune.search.store import StudyStore
from paretune.search.trial import TrialStatus
from tests.limits import limit
from tests.search.command import paretune
from tests.search.fake import make_info
from tests.search.test_store import INT8, complete
from tests.search.tiny import project, write

__all__ = ["project"]


def with_free_handles(count: int) -> int:
    """The limit under which so many more files can be opened."""
    taken = {int(path.name) for path in Path("/proc/self/fd").iterdir()}
    free = (number for number in range(1 << 16) if number not in taken)
    return next(number for i, number in enumerate(free) if i == count)


def test_too_few_file_handles(project: Path) -> None:
    # What is imported on first use is not the point here.
    assert paretune("search", "tiny.yaml", "--trials", "6").exit_code == 0
    paretune("pick", "tiny.yaml", "--trial", "0")
    codes = []
    for count in (0, 1, 2, 3, 4, 6, 9, 12, 100):
        with limit(resource.RLIMIT_NOFILE, with_free_handles(count)):
            result = paretune("search", "tiny.yaml", "--output", "fewer", "--trials", "6")
        codes.append(result.exit_code)
        if result.exit_code:
            assert "\n" not in result.stderr.strip()
            assert result.stderr.startswith("error: ")
            assert "oo many" in result.stderr
    assert codes[:4] == [2] * 4
    assert codes[-1] == 0
    trials = StudyStore.open(Path("fewer")).trials()
    assert {trial.status for trial in trials} == {TrialStatus.COMPLETE}
    assert len(trials) == 6


def test_a_line_that_is_cut_off_is_no_head_of_the_next(tmp_path: Path) -> None:
    with StudyStore.create(tmp_path, make_info()) as store:
        first = store.record(complete())
        size = (tmp_path / JOURNAL).stat().st_size
        with (
            limit(resource.RLIMIT_FSIZE, size + 100),
            pytest.raises(UserError, match="cannot write to the study"),
        ):
            store.record(complete(INT8))
        assert (tmp_path / JOURNAL).stat().st_size == size
        second = store.record(complete(INT8))
        assert store.trials() == [first, second]
    assert StudyStore.open(tmp_path).trials() == [first, second]


MEMORY = """
import resource
from paretune.search import workbench
from paretune.search.cli.main import run

kept = []

def exhausted(*_):
    # Whatever is allocated from here on, in large pieces, is refused by the system.
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (1 << 20),) * 2)
    bytearray(1 << 30)

apply, calls = workbench.Workbench.apply, iter(range(100))

def applied(*args):
    if next(calls) == 4:
        exhausted()
    return apply(*args)

workbench.Workbench.apply = applied
run()
"""


def test_no_memory(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, "search", "tiny.yaml", "--trials", "8"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: there is not enough memory")
    assert "Traceback" not in done.stderr
    known = StudyStore.open(Path("runs/tiny")).trials()
    assert len(known) == 4
    assert paretune("search", "tiny.yaml", "--trials", "8").exit_code == 0
    trials = StudyStore.open(Path("runs/tiny")).trials()
    assert [trial.policy for trial in trials[:4]] == [trial.policy for trial in known]
    assert {trial.status for trial in trials} == {TrialStatus.COMPLETE}


def test_a_clock_that_is_set_back_changes_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, search={"trials": 8, "sampler": "nsga2", "time": "1h"})
    assert paretune("search", "tiny.yaml", "--output", "quiet").exit_code == 0
    jumps = cycle([4e9, 2e9, 0.0])
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    monkeypatch.setattr(time, "time_ns", lambda: int(1e9 * next(jumps)))
    assert paretune("search", "tiny.yaml", "--trials", "5").exit_code == 0
    assert paretune("search", "tiny.yaml", "--output", "jumping").exit_code == 0
    quiet, jumping = (StudyStore.open(Path(name)).trials() for name in ("quiet", "jumping"))
    assert [t.policy for t in jumping] == [t.policy for t in quiet]
    assert [bool(t.confirmed) for t in jumping] == [bool(t.confirmed) for t in quiet]
    assert {t.finished_at for t in jumping} <= {4e9, 2e9, 0.0}
    monkeypatch.undo()
