"""The driver: what it tries, records, repeats, gives up, and takes up again."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from paretune.errors import CandidateError, Infeasible, TransientError, UserError
from paretune.evaluators import Artifact, SplitName
from paretune.search.driver import Outcome
from paretune.search.front import front, hypervolume
from paretune.search.listener import Phase
from paretune.search.seeds import seed_policies
from paretune.search.store import StudyStore
from paretune.search.trial import TrialStatus
from paretune.spaces import Policy, Precision
from tests.search.driving import Recorder, search, trials_of, trouble_with
from tests.search.fake import FakeBench, figures, make_space


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
    assert all(trial.policy.items[0][1].precision == Precision.W4 for trial in ended)
    assert all(trial.measurements == {} for trial in ended)


def test_failed_policies_are_recorded_with_the_error(tmp_path: Path) -> None:
    bench = FakeBench(trouble=trouble_with(Precision.W4, ValueError("broken")))
    search(tmp_path, bench)
    reasons = {t.reason for t in trials_of(tmp_path) if t.status is TrialStatus.FAILED}
    assert reasons == {"ValueError: broken"}


def test_a_broken_candidate_is_not_tried_again_and_says_why(tmp_path: Path) -> None:
    tried: list[Policy] = []

    def trouble(policy: Policy, split: SplitName) -> None:
        if policy.items[0][1].precision == Precision.W4:
            tried.append(policy)
            raise CandidateError("killed by SIGSEGV")

    search(tmp_path, FakeBench(trouble=trouble))
    failed = [t for t in trials_of(tmp_path) if t.status is TrialStatus.FAILED]
    assert {trial.reason for trial in failed} == {"killed by SIGSEGV"}
    assert not any(trial.transient for trial in failed)
    assert tried == [trial.policy for trial in failed]


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
            if policy.items[0][1].precision != Precision.W4:
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
    assert reasons == {"transient: busy"}


def test_transient_failures_are_tried_again_by_the_next_run(tmp_path: Path) -> None:
    away = FakeBench(make_space(2), trouble=trouble_with(Precision.W4, TransientError("away")))
    search(tmp_path, away, 27)
    first = trials_of(tmp_path)
    failed = [trial.policy for trial in first if trial.transient]
    assert len(first) == 27
    assert 0 < len(failed) < 27
    back = FakeBench(make_space(2))
    assert search(tmp_path, back, 27).reason == "all 27 policies of the space are measured"
    trials = trials_of(tmp_path)
    assert {trial.policy for trial in trials[27:]} == set(failed)
    assert len(trials) == 27 + len(failed)
    assert {trial.status for trial in trials[27:]} == {TrialStatus.COMPLETE}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UserError("targets are out of range"), "targets are out of range"),
        (Infeasible("outputs are NaN"), "the uncompressed model cannot be measured: outputs"),
        (TransientError("busy"), "the uncompressed model cannot be measured: busy"),
        (CandidateError("it hung"), "the uncompressed model cannot be measured: it hung"),
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
