"""The front once more: what workers have measured ahead is not measured here."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from paretune.errors import OutOfTime, TransientError, UserError
from paretune.evaluators import Artifact, Measurement, SplitName
from paretune.search.attempt import measure_again
from paretune.search.cluster.bench import TeamBench
from paretune.search.cluster.lanes import Lane
from paretune.search.cluster.workers import Workers
from paretune.search.trial import Trial, TrialStatus
from paretune.search.workbench import Workbench
from paretune.spaces import Policy
from tests.search.cluster.by_hand import ByHand, complete
from tests.search.fake import FakeBench, figures
from tests.search.racing import policies

ANSWERS = frozenset({"accuracy", "size_bytes"})
LATENCY = frozenset({"latency_ms"})


class Device:
    """A lane that answers at once."""

    metrics = LATENCY

    def measure(
        self, policy: Policy, split: SplitName, only: frozenset[str]
    ) -> "Future[Mapping[str, Measurement]]":
        future: Future[Mapping[str, Measurement]] = Future()
        future.set_result({name: figures(policy, split)[name] for name in only})
        return future


class Team:
    """A bench with a device and workers, and a policy that it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.here = FakeBench()
        self.overdue = False
        vars(self.here)["suite"] = SimpleNamespace(overdue=lambda: self.overdue)
        self.workers = ByHand(ANSWERS)
        self.bench = TeamBench(
            cast(Workbench, self.here), [cast(Lane, Device())], cast(Workers, self.workers)
        )
        self.first, self.second = policies(2)
        self.path = folder / "candidate.onnx"

    def hash(self, policy: Policy) -> str:
        return self.artifact(policy).sha256

    def artifact(self, policy: Policy) -> Artifact:
        return self.here.apply(policy, self.path)

    def test(self, policy: Policy) -> Mapping[str, Measurement]:
        return measure_again(self.bench, policy, "test", self.path)


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


def test_answers_that_were_measured_ahead_are_taken(team: Team) -> None:
    team.bench.ahead([team.first, team.second], "test")
    team.bench.ahead([team.second], "test")
    asked = [(job.policy, job.split, job.rivals, job.elsewhere) for job in team.workers.jobs]
    assert asked == [(p, "test", None, LATENCY) for p in (team.first, team.second)]
    team.workers.end(team.first, team.hash(team.first))
    measured = team.test(team.first)
    assert measured == figures(team.first, "test")
    assert list(measured) == [metric.name for metric in team.here.info.metrics]
    assert team.here.measured == []


def test_what_nobody_was_asked_for_is_measured_here(team: Team) -> None:
    team.bench.ahead([team.first], "search")
    team.workers.end(team.first, team.hash(team.first))
    assert team.test(team.first) == figures(team.first, "test")
    assert team.test(team.second) == figures(team.second, "test")
    assert team.here.measured == [(team.first, "test"), (team.second, "test")]


TROUBLE = ["failed", "raised", "other bytes", "nobody there", "no scheduler"]


@pytest.mark.parametrize("trouble", TROUBLE)
def test_what_came_to_nothing_is_measured_here(team: Team, trouble: str) -> None:
    team.bench.ahead([team.first], "test")
    if trouble == "failed":
        ended = Trial(-1, TrialStatus.FAILED, team.first, reason="it crashed")
        team.workers.end_with(team.first, ended)
    elif trouble == "raised":
        team.workers.fail(team.first, TransientError("the workers died, one by one"))
    elif trouble == "other bytes":
        wrong = {name: Measurement(-1.0) for name in ANSWERS}
        team.workers.end_with(team.first, complete(team.first, wrong, "other"))
    elif trouble == "nobody there":
        team.workers.count = 0
    else:
        vars(team.workers)["slots"] = gone
    assert team.test(team.first) == figures(team.first, "test")
    assert team.here.measured == [(team.first, "test")]


def gone() -> int:
    raise UserError("the Dask scheduler has gone")


@pytest.mark.parametrize("slots", [lambda: 0, gone])
def test_where_nobody_helps_nobody_is_asked(team: Team, slots: Callable[[], int]) -> None:
    vars(team.workers)["slots"] = slots
    team.bench.ahead([team.first], "test")
    assert team.workers.jobs == []
    assert team.test(team.first) == figures(team.first, "test")


def test_what_is_not_ready_in_time_is_given_up(team: Team) -> None:
    team.bench.ahead([team.first], "test")
    team.overdue = True
    with pytest.raises(OutOfTime, match="given up, as the time is over"):
        team.test(team.first)


def test_noisy_figures_alone_need_no_answers(team: Team) -> None:
    team.bench.ahead([team.first], "test")
    again = measure_again(team.bench, team.first, "test", team.path, LATENCY)
    assert again.keys() == LATENCY
    assert team.here.measured == []
