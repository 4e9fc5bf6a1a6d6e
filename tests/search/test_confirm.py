"""After the search: confirming the front, and testing it once."""

import re
from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paretune.errors import CandidateError, Infeasible
from paretune.evaluators import Artifact, SplitName
from paretune.evaluators.part import Part
from paretune.evaluators.pooling import pool, rounds
from paretune.search.attempt import Job, attempt
from paretune.search.bench import Measured
from paretune.search.confirm import confirm, final_members, left_over
from paretune.search.constraint import Constraint
from paretune.search.front import front
from paretune.search.landmark import landmarks
from paretune.search.listener import Phase
from paretune.search.store import StudyStore
from paretune.search.trial import Trial
from paretune.search.undecided import MOST_ROUNDS, undecided
from paretune.search.unseen import all_policies
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


def test_who_has_help_is_told_what_comes_next(tmp_path: Path) -> None:
    def told(policy: Policy, split: SplitName) -> None:
        if len(bench.measured) >= 60:
            assert (policy, split) in bench.expected

    bench = FakeBench(trouble=told)
    search(tmp_path, bench, 60)
    tests = [(policy, split) for policy, split in bench.measured if split == "test"]
    assert len(tests) > 3
    # All at once.
    first = next(index for index, (_, split) in enumerate(bench.expected) if split == "test")
    assert bench.expected[first : first + len(tests)] == tests
    assert {policy for policy, _ in bench.expected[: len(tests)]} == {p for p, _ in tests}


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


class Noisy(FakeBench):
    """Latencies with noise, as the intervals say; everything else as in `FakeBench`."""

    def __init__(self, noise: float = 0.3) -> None:
        super().__init__()
        self.rng = np.random.default_rng(0)
        self.noise = noise
        self.asked: list[tuple[Policy, frozenset[str]]] = []

    def measure(self, artifact: Artifact, split: SplitName) -> Measured:
        measured, seconds = super().measure(artifact, split)
        exact = measured["latency_ms"]
        value = exact.value + self.noise * float(self.rng.normal())
        half = 1.96 * self.noise
        noisy = replace(exact, value=value, low=value - half, high=value + half)
        return {**measured, "latency_ms": noisy}, seconds

    def measure_only(
        self,
        artifact: Artifact,
        split: SplitName,
        metrics: Set[str],
        part: Part | None = None,
    ) -> Measured:
        self.asked.append((artifact.policy, frozenset(metrics)))
        return super().measure_only(artifact, split, metrics, part)


def test_what_is_undecided_is_measured_again_and_pooled(tmp_path: Path) -> None:
    bench = Noisy()
    search(tmp_path, bench, 60)
    trials = trials_of(tmp_path)
    assert {names for _, names in bench.asked} == {frozenset({"latency_ms"})}
    counts = Counter(policy for policy, _ in bench.asked)
    assert max(counts.values()) == MOST_ROUNDS - 1
    for trial in trials:
        if trial.confirmed:
            latency = trial.confirmed["latency_ms"]
            taken = rounds(latency)
            assert len(taken) == 1 + counts[trial.policy]
            assert latency == (pool(*taken) if len(taken) > 1 else taken[0])
            assert trial.measurements["latency_ms"] not in taken
            assert trial.confirmed["accuracy"] == figures(trial.policy)["accuracy"]
    found = final_members(bench.info, trials)
    assert all(trial.confirmed and trial.test for trial in found)
    assert undecided(bench.info, found) == []
    # The landmarks come on top of what the search had found.
    searched = front([replace(t, confirmed={}) for t in trials], bench.info.objectives)
    unlucky = [t for t in trials if t.confirmed and t.number not in {m.number for m in searched}]
    assert len(unlucky) > 2

    before = len(bench.measured), len(bench.asked)
    search(tmp_path, bench, 60)
    assert (len(bench.measured), len(bench.asked)) == before


class Clock:
    """Has time for so many measurements in all."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.taken: list[SplitName] = []

    def fits(self, search: int = 0, test: int = 0) -> bool:
        return search + test <= self.left

    def took(self, split: SplitName, seconds: float) -> None:
        self.left -= 1
        self.taken.append(split)


def confirmed_within(folder: Path, measurements: Callable[[int], int]) -> tuple[Clock, list[Trial]]:
    """Confirm a study of 40 trials.

    Args:
        measurements: from the size of its front to what there is time for.
    """
    bench = Noisy()
    with StudyStore.create(folder, bench.info) as store:
        for policy in islice(all_policies(bench.space), 40):
            store.record(attempt(bench, Job(policy), folder / "candidate.onnx"))
        clock = Clock(measurements(len(final_members(bench.info, store.trials()))))
        confirm(bench, store, folder / "candidate.onnx", clock, lambda *_: None)
        return clock, store.trials()


def test_with_time_enough_for_the_front_all_that_is_confirmed_is_tested(tmp_path: Path) -> None:
    clock, trials = confirmed_within(tmp_path, lambda size: 2 * size)
    members = [t for t in final_members(Noisy().info, trials) if t.confirmed]
    assert len(members) > 3
    assert all(t.test for t in members)
    assert clock.left >= 0


def test_with_too_little_time_what_matters_comes_first(tmp_path: Path) -> None:
    clock, trials = confirmed_within(tmp_path, lambda size: size + 3)
    # What came up since is left as it is.
    assert clock.taken == ["search"] * (len(clock.taken) - 3) + ["test"] * 3
    assert clock.left == 0
    assert all(t.confirmed and t.test for t in landmarks(trials).values())
    assert sum(bool(t.test) for t in trials) == 3
    assert re.fullmatch(r"Of the front .*, \d+ of \d+ are not tested\.", _left(trials))


def test_with_no_time_nothing_is_begun(tmp_path: Path) -> None:
    clock, trials = confirmed_within(tmp_path, lambda size: 0)
    assert not clock.taken
    assert "are not confirmed, " in _left(trials)


def test_all_trials_are_looked_at_once_not_at_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: Counter[str] = Counter()
    for name in ("trials", "searched_trials"):
        look = getattr(StudyStore, name)

        def counted(store: StudyStore, name: str = name, look: Any = look) -> list[Trial]:
            looks[name] += 1
            found: list[Trial] = look(store)
            return found

        monkeypatch.setattr(StudyStore, name, counted)
    clock, _ = confirmed_within(tmp_path, lambda size: 3 * size)
    assert len(clock.taken) > 10
    # Of the first kind, one is before it all and one after.
    assert looks == {"trials": 3, "searched_trials": 1}


def _left(trials: Sequence[Trial]) -> str:
    return left_over(Noisy().info, trials)


def test_what_fails_when_measured_again_is_left_alone(tmp_path: Path) -> None:
    calls: Counter[Policy] = Counter()

    def trouble(policy: Policy, split: SplitName) -> None:
        calls[policy] += 1
        if split == "search" and calls[policy] == 3:
            raise CandidateError("it hung")

    bench = Noisy()
    bench.trouble = trouble
    search(tmp_path, bench, 60)
    trials = final_members(bench.info, trials_of(tmp_path))
    assert bench.asked
    assert all(len(rounds(t.confirmed["latency_ms"])) == 1 for t in trials)
    assert all(trial.test for trial in trials)
