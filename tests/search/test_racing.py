"""Racing in a study: who is stopped, what that costs and saves, and what is left of it."""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

import pytest

from paretune.errors import Infeasible, TransientError
from paretune.evaluators import Artifact, Measurement, SplitName
from paretune.evaluators.part import Part
from paretune.search.front import front
from paretune.search.racing import SHARES, may_race, race, summary
from paretune.search.seeds import seed_policies
from paretune.search.store import StudyStore
from paretune.search.table import trials_table
from paretune.search.trial import Trial, TrialStatus
from paretune.spaces import Policy
from tests.search.driving import search, trials_of
from tests.search.fake import make_info
from tests.search.racing import (
    LIMIT,
    TOTAL,
    RacingBench,
    fixed,
    on_split,
    part_of,
    policies,
    racing_info,
    whole,
)


def test_only_what_is_off_the_front_is_stopped() -> None:
    """Against the truth, the whole split: not one trial is stopped wrongly."""
    info = racing_info(LIMIT)
    bench = RacingBench(LIMIT)
    members: list[Trial] = []
    stopped = samples = 0
    drawn = policies(150)
    for number, policy in enumerate(drawn):
        truth = whole(policy)
        if number < 4:
            bench.measure(Artifact(Path("none"), policy, ""), "search")
        finish = race(info, members, bench.taking(policy))
        broken = LIMIT.violation(truth) > 0
        violations = (str(LIMIT),) if broken else ()
        trial = Trial(number, TrialStatus.COMPLETE, policy, truth, violations=violations)
        after = front([*members, trial], info.objectives)
        found = finish.measurements["accuracy"]
        samples += found.samples["count"]
        if finish.broken or found.partial:
            stopped += 1
            assert trial not in after
        members = after
    assert stopped > 100
    assert samples < 0.5 * TOTAL * len(drawn)


def test_who_may_be_on_the_front_is_measured_in_full(tmp_path: Path) -> None:
    bench = RacingBench(LIMIT)
    search(tmp_path, bench, 80)
    store = StudyStore.open(tmp_path)
    searched = store.searched_trials()
    stopped = [trial for trial in searched if trial.stopped]
    assert len(stopped) > 20
    for trial in searched:
        if not trial.stopped and trial.status is TrialStatus.COMPLETE:
            values = {name: m.value for name, m in trial.measurements.items()}
            assert values == pytest.approx({n: m.value for n, m in whole(trial.policy).items()})
    # Seeds are what a front is compared with.
    seeds = len(seed_policies(bench.space))
    assert not any(trial.partial for trial in searched[:seeds])
    trials = store.trials()
    members = front(trials, bench.info.objectives)
    assert members
    assert all(member.confirmed and not member.partial for member in members)
    table = trials_table(bench.info, trials)
    assert table["samples"][stopped[0].number] == stopped[0].samples


def test_without_racing_everything_is_measured_in_full(tmp_path: Path) -> None:
    bench = RacingBench(LIMIT)
    search(tmp_path, bench, 60, racing=False)
    assert {share for _, _, share in bench.asked} == {None}
    assert summary(trials_of(tmp_path)) == ""


def test_broken_constraints_cost_no_latency(tmp_path: Path) -> None:
    bench = RacingBench(LIMIT)
    search(tmp_path, bench, 80)
    ended = [t for t in trials_of(tmp_path) if t.status is TrialStatus.INFEASIBLE]
    assert ended
    for trial in ended:
        assert trial.measurements.keys() == {"accuracy", "accuracy_drop"}
        count = trial.measurements["accuracy_drop"].samples["count"]
        how = f"at least .* on {count} of" if count < TOTAL else ".* on all"
        assert trial.reason.endswith("samples, allowed 0.06")
        assert re.search(how, trial.reason)
        asked = {
            name for policy, names, _ in bench.asked if policy == trial.policy for name in names
        }
        assert "latency_ms" not in asked
        assert trial.artifact_sha256


def test_no_part_is_asked_for_twice() -> None:
    bench = RacingBench()
    finish = race(bench.info, [], bench.taking(policies(1)[0]))
    shares = [share for _, _, share in bench.asked]
    assert shares == [*SHARES, 1.0]
    asked = [names for _, names, _ in bench.asked]
    assert asked[0] == {"accuracy", "accuracy_drop"}
    assert asked[1] == {metric.name for metric in bench.info.metrics}
    assert set(asked[2:]) == {asked[0]}
    assert list(finish.measurements) == [metric.name for metric in bench.info.metrics]
    assert not any(m.partial for m in finish.measurements.values())


def test_a_split_that_is_whole_at_once_is_asked_for_once() -> None:
    bench = RacingBench()
    taking = bench.taking(policies(1)[0])
    race(bench.info, [], lambda metrics, part: taking(metrics, replace(part, share=1.0)))
    assert [names for _, names, _ in bench.asked] == [
        {"accuracy", "accuracy_drop"},
        {"latency_ms", "size_bytes"},
    ]


def test_trouble_in_a_later_part_ends_the_trial_as_before(tmp_path: Path) -> None:
    class Troubled(RacingBench):
        def __init__(self, error: Exception, times: int) -> None:
            super().__init__()
            self.error, self.times = error, times
            self.left: dict[Policy, int] = {}

        def measure_only(
            self,
            artifact: Artifact,
            split: SplitName,
            metrics: Set[str],
            part: Part | None = None,
        ) -> tuple[Mapping[str, Measurement], Mapping[str, float]]:
            left = self.left.setdefault(artifact.policy, self.times)
            if part is not None and part.share == 1 / 4 and left:
                self.left[artifact.policy] -= 1
                raise self.error
            return super().measure_only(artifact, split, metrics, part)

    def statuses(name: str, error: Exception, times: int) -> Sequence[Trial]:
        (tmp_path / name).mkdir()
        bench = Troubled(error, times)
        search(tmp_path / name, bench, 45)
        return [t for t in trials_of(tmp_path / name) if t.policy in bench.left]

    assert not any(t.reason for t in statuses("once", TransientError("killed"), 1))
    lasting = statuses("lasting", TransientError("killed"), 9)
    assert {t.reason for t in lasting if t.reason} == {"transient: killed"}
    nan = [t for t in statuses("nan", Infeasible("holds NaN"), 9) if t.reason]
    assert {(t.status, t.reason) for t in nan} == {(TrialStatus.INFEASIBLE, "holds NaN")}
    assert not any(t.stopped for t in nan)


def test_a_search_goes_on_where_it_stopped(tmp_path: Path) -> None:
    bench = RacingBench(LIMIT)
    search(tmp_path, bench, 60, sampler="nsga2")
    first = trials_of(tmp_path)
    search(tmp_path, RacingBench(LIMIT), 120, sampler="nsga2")
    trials = trials_of(tmp_path)
    assert len(trials) == 120
    assert [t.measurements for t in trials[:60]] == [t.measurements for t in first]
    assert any(trial.stopped for trial in trials[60:])
    assert all(m.confirmed for m in front(trials, bench.info.objectives))


def test_an_estimate_alone_is_on_no_front() -> None:
    info = racing_info()
    one, two = policies(2)
    sure = Trial(0, TrialStatus.COMPLETE, one, fixed(accuracy=on_split(0.9), latency_ms=1.0))
    estimated = fixed(accuracy=part_of(0.99, 0.999), latency_ms=0.5)
    lucky = Trial(1, TrialStatus.COMPLETE, two, estimated)
    assert front([sure, lucky], info.objectives) == [sure]
    assert front([sure, lucky], info.objectives, partial=True) == [lucky]
    known = replace(lucky, confirmed=fixed(accuracy=on_split(0.95), latency_ms=0.5))
    assert front([sure, known], info.objectives) == [known]


def test_only_metrics_that_decide_are_raced() -> None:
    assert may_race(racing_info())
    assert not may_race(make_info())
    info = racing_info()
    assert not may_race(replace(info, objectives=info.objectives[1:]))


def test_the_summary_counts_and_says_what_was_saved(tmp_path: Path) -> None:
    search(tmp_path, RacingBench(LIMIT), 70)
    trials = trials_of(tmp_path)
    stopped = sum(trial.stopped for trial in trials)
    told = summary(trials)
    assert told.startswith(f"Racing stopped {stopped} of ")
    assert told.endswith("of measuring.")
