"""The driver: what it tries, records, repeats, gives up, and takes up again."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from paretune.errors import Infeasible, TransientError, UserError
from paretune.evaluators import Artifact, Measurement, SplitName
from paretune.search.attempt import Measured, attempt_reference
from paretune.search.budget import Budget
from paretune.search.driver import MAX_SAME_FAILURES, Driver, Outcome
from paretune.search.front import front, hypervolume
from paretune.search.interrupt import Interrupt
from paretune.search.listener import Listener, Phase, Snapshot
from paretune.search.samplers import make_sampler
from paretune.search.seeds import seed_policies
from paretune.search.store import StudyStore
from paretune.search.trial import Trial, TrialStatus
from paretune.spaces import Policy, Precision
from tests.search.fake import FakeBench, figures, make_space


class Recorder:
    """A listener that keeps what it is told."""

    def __init__(self, on_trial: Callable[[Trial], None] = lambda trial: None) -> None:
        self.phases: list[Phase] = []
        self.snapshots: list[Snapshot] = []
        self.ended = 0
        self._on_trial = on_trial

    def on_start(self, store: StudyStore) -> None:
        self.store = store

    def on_trial(self, trial: Trial, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)
        self._on_trial(trial)

    def on_phase(self, snapshot: Snapshot) -> None:
        self.phases.append(snapshot.phase)

    def on_end(self, snapshot: Snapshot) -> None:
        self.ended += 1


def search(
    folder: Path,
    bench: FakeBench,
    trials: int | None = 30,
    *,
    seconds: float | None = None,
    sampler: str = "random",
    listeners: Sequence[Listener] = (),
    interrupt: Interrupt | None = None,
) -> Outcome:
    """Search, or go on with the search in `folder`, as `run_search` does."""
    if (folder / "study.journal").exists():
        reference, store = None, StudyStore.open(folder, writable=True)
    else:
        reference = attempt_reference(bench, folder / "reference.onnx")
        store = StudyStore.create(folder, bench.info)
    with store:
        seed = len(store.trials())
        budget = Budget(trials, seconds)
        driver = Driver(bench, store, make_sampler(sampler, seed), budget, listeners=listeners)
        return driver.run(reference, interrupt)


def trials_of(folder: Path) -> list[Trial]:
    return StudyStore.open(folder).trials()


def trouble_with(
    precision: Precision, error: Exception, splits: Sequence[SplitName] = ("search", "test")
) -> Callable[[Policy, SplitName], None]:
    """Raise `error` for policies whose first layer has this precision."""

    def trouble(policy: Policy, split: SplitName) -> None:
        if policy.items[0][1].precision is precision and split in splits:
            raise error

    return trouble


def test_the_budget_is_measured_each_policy_once_and_seeds_first(tmp_path: Path) -> None:
    bench = FakeBench()
    outcome = search(tmp_path, bench, 40)
    trials = trials_of(tmp_path)
    assert outcome == Outcome("all 40 trials are done", interrupted=False)
    assert [trial.number for trial in trials] == list(range(40))
    assert len({trial.policy for trial in trials}) == 40
    seeds = seed_policies(bench.space)
    assert [trial.policy for trial in trials[: len(seeds)]] == seeds
    assert all(dict(trial.measurements) == figures(trial.policy) for trial in trials)


def test_a_known_policy_is_not_measured_but_told(tmp_path: Path) -> None:
    bench = FakeBench(make_space(2))
    search(tmp_path, bench, 20, sampler="nsga2")
    searched = [policy for policy, split in bench.measured if split == "search"]
    confirmed = [trial for trial in trials_of(tmp_path) if trial.confirmed]
    assert len(searched) == 20 + len(confirmed)


@pytest.mark.parametrize("sampler", ["random", "nsga2", "tpe", "brute", "qmc", "nsga3"])
def test_a_small_space_is_exhausted(tmp_path: Path, sampler: str) -> None:
    bench = FakeBench(make_space(2))
    outcome = search(tmp_path, bench, 500, sampler=sampler)
    assert bench.space.size == 27
    assert outcome.reason == "all 27 policies of the space are measured"
    assert len({trial.policy for trial in trials_of(tmp_path)}) == 27


def test_infeasible_policies_are_recorded_with_the_reason(tmp_path: Path) -> None:
    bench = FakeBench(trouble=trouble_with(Precision.W4, Infeasible("outputs are NaN")))
    search(tmp_path, bench)
    ended = [trial for trial in trials_of(tmp_path) if trial.status is TrialStatus.INFEASIBLE]
    assert ended
    assert {trial.reason for trial in ended} == {"outputs are NaN"}
    assert all(trial.policy.items[0][1].precision is Precision.W4 for trial in ended)
    assert all(trial.measurements == {} for trial in ended)


def test_failed_policies_are_recorded_with_the_error(tmp_path: Path) -> None:
    bench = FakeBench(trouble=trouble_with(Precision.W4, ValueError("broken")))
    search(tmp_path, bench)
    reasons = {t.reason for t in trials_of(tmp_path) if t.status is TrialStatus.FAILED}
    assert reasons == {"ValueError: broken"}


def test_what_did_not_work_is_not_tried_again(tmp_path: Path) -> None:
    bench = FakeBench(make_space(2), trouble=trouble_with(Precision.W4, ValueError("broken")))
    search(tmp_path, bench, 15)
    search(tmp_path, bench, 27)
    assert len(bench.applied) == len(set(bench.applied)) + 2 * len(
        [trial for trial in trials_of(tmp_path) if trial.confirmed]
    )


def test_an_artifact_of_another_policy_is_infeasible(tmp_path: Path) -> None:
    class Disobedient(FakeBench):
        def apply(self, policy: Policy, path: Path) -> Artifact:
            artifact = super().apply(policy, path)
            if policy.items[0][1].precision is not Precision.W4:
                return artifact
            return Artifact(path, self.space.uniform(Precision.FP32), artifact.sha256)

    search(tmp_path, Disobedient())
    ended = [trial for trial in trials_of(tmp_path) if trial.status is TrialStatus.INFEASIBLE]
    assert ended
    assert all("layer0: fp32 instead of w4" in trial.reason for trial in ended)


def test_a_transient_error_is_tried_again_once(tmp_path: Path) -> None:
    calls = itertools.count()

    def trouble(policy: Policy, split: SplitName) -> None:
        if next(calls) % 2 == 0:
            raise TransientError("busy")

    search(tmp_path, FakeBench(trouble=trouble), 20)
    assert {trial.status for trial in trials_of(tmp_path)} == {TrialStatus.COMPLETE}


def test_a_lasting_transient_error_fails_the_trial(tmp_path: Path) -> None:
    bench = FakeBench(trouble=trouble_with(Precision.W4, TransientError("busy")))
    search(tmp_path, bench, 20)
    reasons = {t.reason for t in trials_of(tmp_path) if t.status is TrialStatus.FAILED}
    assert reasons == {"TransientError: busy"}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UserError("targets are out of range"), "targets are out of range"),
        (Infeasible("outputs are NaN"), "the uncompressed model cannot be measured: outputs"),
        (TransientError("busy"), "the uncompressed model cannot be measured: busy"),
    ],
)
def test_a_model_that_cannot_be_measured_starts_no_study(
    tmp_path: Path, error: Exception, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        search(tmp_path, FakeBench(trouble=trouble_with(Precision.FP32, error)))
    assert not (tmp_path / "study.journal").exists()


def test_a_bug_in_measuring_the_reference_shows_itself(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        search(tmp_path, FakeBench(trouble=trouble_with(Precision.FP32, ZeroDivisionError())))


def test_when_all_candidates_fail_alike_the_search_stops(tmp_path: Path) -> None:
    def trouble(policy: Policy, split: SplitName) -> None:
        if any(str(choice) != "fp32" for _, choice in policy):
            raise RuntimeError("no such kernel")

    with pytest.raises(UserError, match="candidates all failed .* RuntimeError: no such kernel"):
        search(tmp_path, FakeBench(trouble=trouble), 100)
    assert len(trials_of(tmp_path)) == MAX_SAME_FAILURES + 1


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
            flattered = Measurement(0.7 * measured["latency_ms"].value)
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


def test_a_member_that_cannot_be_measured_again_stays_unconfirmed(tmp_path: Path) -> None:
    calls: dict[Policy, int] = {}

    def trouble(policy: Policy, split: SplitName) -> None:
        calls[policy] = calls.get(policy, 0) + 1
        if policy.items[0][1].precision is Precision.INT8 and calls[policy] > 1:
            raise Infeasible("gone")

    bench = FakeBench(trouble=trouble)
    search(tmp_path, bench, 60)
    members = front(trials_of(tmp_path), bench.info.objectives)
    first = {bool(t.confirmed): t.policy.items[0][1].precision for t in members}
    assert first[False] is Precision.INT8
    assert first[True] is not Precision.INT8


def test_a_search_goes_on_with_more_budget(tmp_path: Path) -> None:
    bench = FakeBench()
    search(tmp_path, bench, 30, sampler="nsga2")
    before = trials_of(tmp_path)
    confirmed = sum(bool(trial.confirmed) for trial in before)
    assert search(tmp_path, bench, 30).reason == "all 30 trials are done"
    assert trials_of(tmp_path) == before
    search(tmp_path, bench, 50, sampler="nsga2")
    after = trials_of(tmp_path)
    assert [trial.policy for trial in after[:30]] == [trial.policy for trial in before]
    assert len({trial.policy for trial in after}) == 50
    measured = [policy for policy, split in bench.measured if split == "search"]
    assert len(measured) == 50 + sum(bool(trial.confirmed) for trial in after)
    assert sum(bool(trial.confirmed) for trial in after) >= confirmed


def test_an_evolution_goes_on_with_its_generation(tmp_path: Path) -> None:
    bench = FakeBench(make_space(6))
    search(tmp_path, bench, 80, sampler="nsga2")
    search(tmp_path, bench, 130, sampler="nsga2")
    with StudyStore.open(tmp_path) as store:
        attrs = store.sampler_attrs()
    generations = [attrs[number]["NSGAIISampler:generation"] for number in range(130)]
    assert generations == sorted(generations)
    assert generations[0] == 0
    assert 1 <= generations[79] <= generations[80] <= generations[79] + 1


class Stop(BaseException):
    """Stands for a kill."""


@pytest.mark.parametrize("phase", [Phase.SEARCH, Phase.CONFIRM, Phase.TEST])
def test_a_killed_search_ends_as_if_it_had_not_been(tmp_path: Path, phase: Phase) -> None:
    quiet, killed = tmp_path / "quiet", tmp_path / "killed"
    for folder in (quiet, killed):
        folder.mkdir()
    search(quiet, FakeBench(make_space(2)), 27)
    kill: list[int] = []
    recorder: Recorder

    def on_trial(trial: Trial) -> None:
        kill.append(trial.number)
        if recorder.snapshots[-1].phase is phase and len(kill) > 3:
            raise Stop

    recorder = Recorder(on_trial)
    bench = FakeBench(make_space(2))
    with pytest.raises(Stop):
        search(killed, bench, 27, listeners=[recorder])
    search(killed, bench, 27)

    def outcome(folder: Path) -> dict[Policy, tuple[bool, bool]]:
        return {t.policy: (bool(t.confirmed), bool(t.test)) for t in trials_of(folder)}

    assert outcome(killed) == outcome(quiet)
    assert len(bench.measured) == len(set(bench.measured)) + sum(
        confirmed for confirmed, _ in outcome(killed).values()
    )


def test_the_first_interrupt_ends_the_search_and_confirms(tmp_path: Path) -> None:
    bench = FakeBench()
    interrupt = Interrupt(lambda: None)

    def on_trial(trial: Trial) -> None:
        interrupt.requested = interrupt.requested or trial.number == 20

    outcome = search(tmp_path, bench, 200, listeners=[Recorder(on_trial)], interrupt=interrupt)
    assert outcome == Outcome("interrupted", interrupted=True)
    trials = trials_of(tmp_path)
    assert len(trials) == 21
    assert all(trial.confirmed for trial in front(trials, bench.info.objectives))
    assert search(tmp_path, bench, 40).reason == "all 40 trials are done"


def test_an_abort_passes_through_and_leaves_no_scratch(tmp_path: Path) -> None:
    def trouble(policy: Policy, split: SplitName) -> None:
        if policy.items[0][1].precision is Precision.W4:
            raise KeyboardInterrupt

    recorder = Recorder()
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, FakeBench(trouble=trouble), listeners=[recorder])
    assert recorder.ended == 0
    assert not (tmp_path / "scratch").exists()
    assert trials_of(tmp_path)


def test_time_for_confirming_is_set_aside(tmp_path: Path) -> None:
    class Slow(FakeBench):
        def measure(self, artifact: Artifact, split: SplitName) -> Measured:
            measured, _ = super().measure(artifact, split)
            return measured, {"fake": 10.0}

    # Nothing really takes that long, so that only the reserve can use the time up.
    recorder = Recorder()
    outcome = search(tmp_path, Slow(), None, seconds=100.0, listeners=[recorder])
    assert outcome.reason == "the time is up"
    searching = [s for s in recorder.snapshots if s.phase is Phase.SEARCH]
    assert 2 * 10.0 * searching[-1].front_size >= 99.0
    assert 2 * 10.0 * searching[-2].front_size < 100.0


def test_the_time_of_earlier_runs_counts(tmp_path: Path) -> None:
    class Slow(FakeBench):
        def measure(self, artifact: Artifact, split: SplitName) -> Measured:
            measured, _ = super().measure(artifact, split)
            return measured, {"fake": 60.0}

    search(tmp_path, Slow(), 10)
    assert search(tmp_path, Slow(), None, seconds=500.0).reason == "the time is up"
    assert len(trials_of(tmp_path)) == 10


def test_the_hypervolume_shown_is_that_of_the_front(tmp_path: Path) -> None:
    bench, recorder = FakeBench(), Recorder()
    search(tmp_path, bench, 80, listeners=[recorder])
    store = StudyStore.open(tmp_path)
    seeds = store.trials()[: len(seed_policies(bench.space))]
    worst = (
        -min(trial.measurements["accuracy"].value for trial in seeds),
        max(trial.measurements["latency_ms"].value for trial in seeds),
    )
    assert store.hypervolume_reference == pytest.approx(worst)
    searching = [s for s in recorder.snapshots if s.phase is Phase.SEARCH]
    objectives = bench.info.objectives
    for snapshot in searching:
        if snapshot.hypervolume is not None:
            so_far = store.searched_trials()[: snapshot.trials]
            expected = hypervolume(so_far, objectives, np.array(worst))
            assert snapshot.hypervolume == pytest.approx(expected)
            assert snapshot.front_size == len(front(so_far, objectives))
    assert searching[-1].hypervolume is not None


def test_the_hypervolume_reference_outlives_the_run(tmp_path: Path) -> None:
    bench = FakeBench()
    search(tmp_path, bench, 40)
    reference = StudyStore.open(tmp_path).hypervolume_reference
    recorder = Recorder()
    search(tmp_path, bench, 45, listeners=[recorder])
    assert StudyStore.open(tmp_path).hypervolume_reference == reference
    assert recorder.snapshots[0].hypervolume is not None
