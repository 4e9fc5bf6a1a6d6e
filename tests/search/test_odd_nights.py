"""Nights in which nothing can be built, nothing is good enough, or nothing takes its usual time."""

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from paretune.errors import CandidateError, Infeasible, OutOfTime, UserError
from paretune.evaluators import Artifact, SplitName
from paretune.search.attempt import attempt_reference
from paretune.search.bench import Measured
from paretune.search.budget import TIME_IS_UP, Budget
from paretune.search.confirm import final_members, left_over
from paretune.search.constraint import Constraint
from paretune.search.driver import MAX_FAILURES, Driver, Outcome
from paretune.search.misses import misses
from paretune.search.samplers import make_sampler
from paretune.search.seeds import seed_policies
from paretune.search.store import StudyStore
from paretune.search.trial import Trial
from paretune.spaces import Policy
from tests.search.driving import search, trials_of
from tests.search.fake import FakeBench, make_info

HOUR = 3600.0


def only_fp32(policy: Policy, split: SplitName) -> None:
    kinds = {str(choice) for _, choice in policy}
    if "w4" in kinds:
        raise CandidateError("no such kernel")
    if kinds != {"fp32"}:
        raise Infeasible("outputs are NaN")


def test_a_search_in_which_nothing_can_be_measured_ends_with_the_reasons(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        search(tmp_path, FakeBench(trouble=only_fp32), 500)
    trials = trials_of(tmp_path)
    assert len(trials) == MAX_FAILURES + 1
    reasons = [trial.reason for trial in trials[1:]]
    first, *lines = str(caught.value).splitlines()
    assert first == "none of the first 20 candidates could be measured, so the search ends:"
    nan, kernel = (reasons.count(r) for r in ("outputs are NaN", "no such kernel"))
    expected = {f"  {nan} × outputs are NaN": nan, f"  {kernel} × no such kernel": kernel}
    assert lines == sorted(expected, key=lambda line: -expected[line])
    assert nan + kernel == 20
    # The same command tries one more, in case that the cause is gone.
    with pytest.raises(UserError, match="none of the first 21 candidates"):
        search(tmp_path, FakeBench(trouble=only_fp32), 500)
    assert search(tmp_path, FakeBench(), 30).reason == "all 30 trials are done"


def test_many_reasons_are_not_all_listed(tmp_path: Path) -> None:
    def trouble(policy: Policy, split: SplitName) -> None:
        if any(str(choice) != "fp32" for _, choice in policy):
            raise RuntimeError(policy.key)

    with pytest.raises(UserError, match=r"(\n  1 × RuntimeError: .*){5}\n  and 15 other reasons$"):
        search(tmp_path, FakeBench(trouble=trouble), 500)


def test_one_candidate_that_can_be_measured_is_enough_to_go_on(tmp_path: Path) -> None:
    good = seed_policies(FakeBench().space)[2]

    def trouble(policy: Policy, split: SplitName) -> None:
        if policy != good:
            only_fp32(policy, split)

    search(tmp_path, FakeBench(trouble=trouble), 60)
    assert len(trials_of(tmp_path)) == 60


@pytest.mark.parametrize("racing", [True, False])
def test_constraints_that_nothing_satisfies_do_not_end_the_search(
    tmp_path: Path, racing: bool
) -> None:
    constraints = (Constraint("latency_ms", "<=", 0.5), Constraint("accuracy", ">=", 0.9))
    bench = FakeBench(info=make_info(constraints))
    search(tmp_path, bench, 40, racing=racing)
    trials = trials_of(tmp_path)
    assert len(trials) == 40
    assert not any(trial.feasible for trial in trials)
    nearest = min(trials, key=lambda trial: trial.figures["latency_ms"].value)
    value = nearest.figures["latency_ms"].value
    accurate = sum(
        trial.figures["accuracy"].value >= 0.9 for trial in trials if "accuracy" in trial.figures
    )
    assert misses(bench.info, trials).splitlines() == [
        f"  latency_ms <= 0.5: the nearest is trial {nearest.number} with {value:.4g}",
        f"  accuracy >= 0.9: satisfied by {accurate} of"
        f" {sum('accuracy' in t.figures for t in trials)} trials",
    ]


Duration = Callable[["Night", Policy, SplitName], float]
"""Seconds that measuring a policy takes."""


class Night(FakeBench):
    """Time goes by only while something is measured.

    Attributes:
        now: seconds since the begin.
    """

    def __init__(self, duration: Duration, patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.now = 0.0
        self.overdue: Callable[[], bool] = lambda: False
        self._duration = duration
        clock = SimpleNamespace(
            monotonic=lambda: self.now, perf_counter=lambda: self.now, time=time.time
        )
        for module in ("attempt", "confirm", "tally"):
            patch.setattr(f"paretune.search.{module}.time", clock)

    def measure(self, artifact: Artifact, split: SplitName) -> Measured:
        end = self.now + self._duration(self, artifact.policy, split)
        while self.now < end:
            # A real one is asked once a second, too.
            self.now = min(end, self.now + 1)
            if self.overdue():
                raise OutOfTime("given up")
        return super().measure(artifact, split)

    def search(self, folder: Path, seconds: float, test_share: float = 1.0) -> Outcome:
        journal = folder / "study.journal"
        if journal.exists():
            reference, store = None, StudyStore.open(folder, writable=True)
        else:
            reference = attempt_reference(self, folder / "reference.onnx")
            store = StudyStore.create(folder, self.info)
        with store:
            sampler = make_sampler("random", len(store.trials()))
            budget = Budget(None, seconds)

            def longer(trial: Trial) -> float:
                return trial.duration * max(1, test_share)

            driver = Driver(self, store, sampler, budget, test_seconds=longer)
            self.overdue = driver.overdue
            return driver.run(reference)


def unfinished(trials: list[Trial]) -> str:
    return left_over(make_info(), trials)


def noisy(night: Night, policy: Policy, split: SplitName) -> float:
    rng = np.random.default_rng(int(policy.key, 16) % (1 << 32) + len(night.measured))
    return 120.0 * float(rng.lognormal(0, 0.5))


@pytest.mark.parametrize(
    ("duration", "test_share"),
    [
        (lambda night, policy, split: 5.0, 1.0),
        (lambda night, policy, split: 600.0, 1.0),
        (lambda night, policy, split: 60.0 if split == "search" else 600.0, 10.0),
        (lambda night, policy, split: 60.0 if split == "search" else 6.0, 0.1),
        (noisy, 1.0),
    ],
    ids=["quick", "slow", "large test split", "small test split", "as it comes"],
)
def test_the_time_budget_holds_and_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, duration: Duration, test_share: float
) -> None:
    night = Night(duration, monkeypatch)
    reason = night.search(tmp_path, 8 * HOUR, test_share).reason
    trials = trials_of(tmp_path)
    assert night.now <= 8 * HOUR + 60
    if reason == TIME_IS_UP:
        assert night.now >= 7.5 * HOUR
    else:
        assert len(trials) == night.space.size
    assert all(trial.confirmed for trial in final_members(night.info, trials))
    assert unfinished(trials) == ""


def test_what_confirming_leaves_of_the_time_goes_into_more_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The test split seemed to take half an hour a member.
    night = Night(lambda *_: 60.0, monkeypatch)
    night.search(tmp_path, 4 * HOUR, test_share=30)
    trials = trials_of(tmp_path)
    assert 3.9 * HOUR <= night.now <= 4 * HOUR + 60
    assert len(trials) > 100
    assert unfinished(trials) == ""
    # No member is measured twice.
    assert len(set(night.measured)) == len(night.measured) - sum(bool(t.confirmed) for t in trials)


@pytest.mark.parametrize("seed", [1, 15, 18, 23, 26])
def test_slow_measurements_now_and_then_leave_no_front_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    night = Night(lambda *_: 3.0 if rng.random() < 0.2 else 0.5, monkeypatch)
    night.search(tmp_path, 90)
    assert 70 <= night.now <= 90
    assert unfinished(trials_of(tmp_path)) == ""


def test_after_something_was_given_up_the_front_is_confirmed_and_that_is_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def duration(night: Night, policy: Policy, split: SplitName) -> float:
        # One candidate never ends; all that comes later is quick.
        return 10 * HOUR if len(night.measured) == 20 and night.now < 2 * HOUR else 60.0

    night = Night(duration, monkeypatch)
    night.search(tmp_path, 4 * HOUR, test_share=10)
    trials = trials_of(tmp_path)
    assert len(trials) == 20
    assert night.now <= 4 * HOUR + 60
    assert unfinished(trials) == ""


def test_a_study_that_goes_on_keeps_no_time_for_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Night(lambda *_: 60.0, monkeypatch)
    night.search(tmp_path, 2 * HOUR)
    before = trials_of(tmp_path)
    night.search(tmp_path, max(trial.spent for trial in before) + 600)
    assert len(trials_of(tmp_path)) >= len(before) + 3


def test_a_test_split_that_is_slower_than_anybody_knew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Night(lambda _, policy, split: 60.0 if split == "search" else 1800.0, monkeypatch)
    night.search(tmp_path, 4 * HOUR)
    trials = trials_of(tmp_path)
    # One was begun before it was known how long it takes.
    assert night.now <= 4 * HOUR + 60
    assert all(trial.confirmed for trial in final_members(night.info, trials))
    assert "are not tested" in unfinished(trials)
    assert "are not confirmed" not in unfinished(trials)


@pytest.mark.parametrize("begin", [2.0, 3.0, 3.5, 3.8, 3.95], ids=lambda b: f"after {b} h")
def test_something_that_hangs_is_given_up_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: float
) -> None:
    def duration(night: Night, policy: Policy, split: SplitName) -> float:
        return 60.0 if night.now < begin * HOUR else 10 * HOUR

    night = Night(duration, monkeypatch)
    night.search(tmp_path, 4 * HOUR)
    assert night.now <= 4 * HOUR + 60
    before = trials_of(tmp_path)
    # Nothing is known about what was given up, and it is not recorded.
    assert len({trial.policy for trial in before}) == len(before)
    assert not any(trial.reason for trial in before)
    night = Night(lambda night, policy, split: 60.0, monkeypatch)
    night.search(tmp_path, 5 * HOUR)
    after = trials_of(tmp_path)
    assert [trial.policy for trial in after[: len(before)]] == [t.policy for t in before]
    assert unfinished(after) == ""
