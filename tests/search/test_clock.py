"""A wall clock that is set, and a machine that sleeps, cost a search nothing."""

import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Literal

import pytest

from paretune.evaluators import SplitName
from paretune.search.store import StudyStore
from paretune.spaces import Policy
from tests.search.driving import Recorder, search
from tests.search.fake import FakeBench

YEAR = 365 * 24 * 3600.0


@pytest.fixture
def jumping(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wall clock that goes back and forth by years, and to before 1970."""
    begun = time.time()
    times: Iterator[float] = cycle([begun, begun - YEAR, begun + 10 * YEAR, -1.0, 0.0])
    monkeypatch.setattr(time, "time", lambda: next(times))


@pytest.mark.usefixtures("jumping")
def test_a_clock_that_is_set_costs_no_budget(tmp_path: Path) -> None:
    bench, recorder = FakeBench(), Recorder()
    outcome = search(tmp_path, bench, 20, seconds=3600, listeners=[recorder])
    assert outcome.reason == "all 20 trials are done"
    # What earlier runs took counts as well.
    assert search(tmp_path, bench, 30, seconds=3600).reason == "all 30 trials are done"
    with StudyStore.open(tmp_path) as store:
        trials = store.trials()
    assert [trial.number for trial in trials] == list(range(30))
    assert len({trial.finished_at for trial in trials}) > 1
    assert all(0 <= trial.duration < 3600 for trial in trials)
    for snapshot in recorder.snapshots:
        assert snapshot.seconds_left is None or 0 <= snapshot.seconds_left <= 3600


def test_the_budget_is_of_the_clock_that_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night's sleep between two trials is on the wall clock only."""
    asleep = [0.0]
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + asleep[0])

    def sleep(policy: Policy, split: SplitName) -> None:
        asleep[0] += 8 * 3600

    bench = FakeBench(trouble=sleep)
    assert search(tmp_path, bench, 20, seconds=3600).reason == "all 20 trials are done"
    assert asleep[0] > 20 * 3600


@pytest.mark.skipif(sys.platform != "linux", reason="other systems name their clocks differently")
@pytest.mark.parametrize("clock", ["monotonic", "perf_counter"])
def test_the_clocks_of_durations_stand_still_in_sleep(
    clock: Literal["monotonic", "perf_counter"],
) -> None:
    # CLOCK_BOOTTIME would go on.
    assert time.get_clock_info(clock).implementation == "clock_gettime(CLOCK_MONOTONIC)"
