"""The workbench tells what measuring costs."""

from dataclasses import replace
from pathlib import Path

import pytest

from paretune.search.config import load_config
from paretune.search.trial import Trial, TrialStatus
from paretune.search.workbench import Workbench
from paretune.spaces import Policy
from tests.search.tiny import project, write

__all__ = ["project"]

TAKEN = {"apply": 1.0, "accuracy": 4.0, "latency": 10.0, "total": 15.0}
TRIAL = Trial(0, TrialStatus.COMPLETE, Policy.of({}), seconds=TAKEN)


@pytest.mark.parametrize(("times", "seconds"), [(1, 15.0), (3, 23.0)])
def test_only_answers_take_longer_on_a_larger_test_split(
    project: Path, times: int, seconds: float
) -> None:
    with Workbench.open(load_config(write(project))) as bench:
        bench.splits = replace(bench.splits, test=[*bench.splits.test] * times)
        assert bench.test_seconds(TRIAL) == pytest.approx(seconds)


def test_a_small_test_split_takes_no_less(project: Path) -> None:
    with Workbench.open(load_config(write(project))) as bench:
        bench.splits = replace(bench.splits, search=[*bench.splits.search] * 5)
        assert bench.test_seconds(TRIAL) == 15.0
