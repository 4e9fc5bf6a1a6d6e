"""After the search: confirming the front, and testing it once."""

from dataclasses import replace
from pathlib import Path

import pytest

from paretune.errors import CandidateError, Infeasible
from paretune.evaluators import Artifact, SplitName
from paretune.search.attempt import Measured
from paretune.search.constraint import Constraint
from paretune.search.front import front
from paretune.search.listener import Phase
from paretune.search.view import all_members, fronts
from paretune.spaces import Policy, Precision
from tests.search.driving import Recorder, search, trials_of
from tests.search.fake import ACCURACY, LATENCY, FakeBench, figures


def test_the_front_is_confirmed_and_tested_with_the_landmarks(tmp_path: Path) -> None:
    bench, recorder = FakeBench(), Recorder()
    search(tmp_path, bench, 60, listeners=[recorder])
    trials = trials_of(tmp_path)
    members = front(trials, bench.info.objectives)
    assert len(members) > 3
    assert all(trial.confirmed and trial.test for trial in members)
    # fp32 and uniform int8 are what the front is compared with.
    assert trials[0].confirmed and trials[0].test and trials[1].confirmed and trials[1].test
    tested = [policy for policy, split in bench.measured if split == "test"]
    assert len(tested) == len(set(tested))
    assert recorder.phases == [Phase.SEARCH, Phase.CONFIRM, Phase.TEST]
    assert recorder.ended == 1
    last = recorder.snapshots[-1]
    assert (last.done, last.total) == (len(tested), len(tested))


class Optimist(FakeBench):
    """The search flatters some policies; measured again, they lose."""

    def __init__(self) -> None:
        super().__init__()
        self.before: set[Policy] = set()

    def measure(self, artifact: Artifact, split: SplitName) -> Measured:
        measured, seconds = super().measure(artifact, split)
        lucky = int(artifact.policy.key, 16) % 3 == 0 and artifact.policy not in self.before
        self.before.add(artifact.policy)
        if lucky:
            latency = measured["latency_ms"]
            flattered = replace(latency, value=0.7 * latency.value)
            measured = {**measured, "latency_ms": flattered}
        return measured, seconds


def test_the_confirmed_front_holds_only_confirmed_figures(tmp_path: Path) -> None:
    bench = Optimist()
    search(tmp_path, bench, 100)
    trials = trials_of(tmp_path)
    members = front(trials, bench.info.objectives)
    assert all(trial.confirmed for trial in members)
    assert all(dict(trial.confirmed) == figures(trial.policy) for trial in members)
    confirmed = [trial for trial in trials if trial.confirmed]
    assert len(confirmed) > len(members)


@pytest.mark.parametrize("error", [Infeasible("gone"), CandidateError("it hung")])
def test_a_member_that_cannot_be_measured_again_stays_unconfirmed(
    tmp_path: Path, error: Exception
) -> None:
    calls: dict[Policy, int] = {}

    def trouble(policy: Policy, split: SplitName) -> None:
        calls[policy] = calls.get(policy, 0) + 1
        if policy.items[0][1].precision == Precision.INT8 and calls[policy] > 1:
            raise error

    bench = FakeBench(trouble=trouble)
    search(tmp_path, bench, 60)
    members = front(trials_of(tmp_path), bench.info.objectives)
    first = {bool(t.confirmed): t.policy.items[0][1].precision for t in members}
    assert first[False] == Precision.INT8
    assert first[True] != Precision.INT8


class TwoDevices(FakeBench):
    """What is fast on one device is slow on the other; only few policies suit the server."""

    def __init__(self) -> None:
        super().__init__()
        metrics = (ACCURACY, LATENCY.on("pi"), LATENCY.on("server"))
        constraint = Constraint("latency_ms@server", "<=", 4.0)
        self.info = replace(
            self.info, objectives=metrics, metrics=metrics, constraints=(constraint,)
        )

    def measure(self, artifact: Artifact, split: SplitName) -> Measured:
        measured, seconds = super().measure(artifact, split)
        latency = measured["latency_ms"]
        return {
            "accuracy": measured["accuracy"],
            "latency_ms@pi": latency,
            "latency_ms@server": replace(latency, value=10.0 - latency.value),
        }, seconds


def test_every_devices_front_is_confirmed_and_tested(tmp_path: Path) -> None:
    bench = TwoDevices()
    search(tmp_path, bench, 60)
    trials = trials_of(tmp_path)
    found = fronts(bench.info, trials)
    assert all(trial.confirmed and trial.test for trial in all_members(bench.info, trials))
    # The server's constraint keeps some of pi's members off the whole front.
    whole = {trial.number for trial in found[""]}
    assert whole and {trial.number for trial in found["pi"]} - whole
