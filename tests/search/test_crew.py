"""The driver with several attempts under way at once."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from paretune.search.attempt import Job, attempt, attempt_reference
from paretune.search.budget import Budget
from paretune.search.driver import Driver, Outcome
from paretune.search.interrupt import Interrupt
from paretune.search.samplers import make_sampler
from paretune.search.seeds import seed_policies
from paretune.search.store import StudyStore
from paretune.search.trial import Trial
from paretune.spaces import Policy
from tests.search.driving import Recorder, search, trials_of
from tests.search.fake import FakeBench, make_space


class Several:
    """So many jobs at once; they end in random order, sometimes two together.

    Attributes:
        most: so many were under way at once.
        jobs: all that were started.
    """

    def __init__(self, bench: FakeBench, path: Path, count: int) -> None:
        self._bench, self._path, self._count = bench, path, count
        self._rng = np.random.default_rng(0)
        self._running: list[Job] = []
        self.most = 0
        self.jobs: list[Job] = []

    @property
    def free(self) -> int:
        return self._count - len(self._running)

    def start(self, job: Job) -> None:
        assert self.free > 0
        assert job.policy not in {other.policy for other in self._running}
        self._running.append(job)
        self.jobs.append(job)
        self.most = max(self.most, len(self._running))

    def ended(self) -> Sequence[Trial]:
        self._rng.shuffle(self._running)
        count = int(self._rng.integers(3))
        done, self._running = self._running[:count], self._running[count:]
        return [attempt(self._bench, job, self._path) for job in done]


def search_with(
    folder: Path, several: Several, bench: FakeBench, trials: int, sampler: str = "guided"
) -> Outcome:
    reference = attempt_reference(bench, folder / "reference.onnx")
    with StudyStore.create(folder, bench.info) as store:
        sampling, budget = make_sampler(sampler, 0), Budget(trials)
        return Driver(bench, store, sampling, budget, crew=several).run(reference)


class Late(Several):
    """Nobody is there at first; they come when the driver has waited for them three times."""

    waits = 0

    @property
    def free(self) -> int:
        return super().free if self.waits >= 3 else 0

    def ended(self) -> Sequence[Trial]:
        self.waits += 1
        return super().ended()


def test_a_crew_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    bench = FakeBench()
    late = Late(bench, tmp_path / "candidate.onnx", 2)
    assert search_with(tmp_path, late, bench, 10).reason == "all 10 trials are done"
    assert len(trials_of(tmp_path)) == 10


def test_waiting_for_a_crew_ends_with_an_interrupt(tmp_path: Path) -> None:
    bench = FakeBench()
    late = Late(bench, tmp_path / "candidate.onnx", 0)
    reference = attempt_reference(bench, tmp_path / "reference.onnx")
    interrupt = Interrupt(lambda: None)
    interrupt.requested = True
    with StudyStore.create(tmp_path, bench.info) as store:
        driver = Driver(bench, store, make_sampler("random", 0), Budget(10), crew=late)
        assert driver.run(reference, interrupt).reason == "interrupted"
    assert len(trials_of(tmp_path)) == 1
    assert late.waits == 0


@pytest.mark.parametrize("sampler", ["guided", "nsga2", "random"])
def test_several_at_once_measure_each_policy_once(tmp_path: Path, sampler: str) -> None:
    bench = FakeBench()
    several = Several(bench, tmp_path / "candidate.onnx", 5)
    outcome = search_with(tmp_path, several, bench, 40, sampler)
    assert outcome.reason == "all 40 trials are done"
    trials = trials_of(tmp_path)
    assert len({trial.policy for trial in trials}) == len(trials) == 40
    assert several.most == 5
    assert [job.policy for job in several.jobs] != [trial.policy for trial in trials[1:]]


def test_a_small_space_is_measured_to_its_end(tmp_path: Path) -> None:
    """A sampler that knows nothing proposes what is under way, again and again."""
    bench = FakeBench(make_space(1))
    size = bench.space.size
    several = Several(bench, tmp_path / "candidate.onnx", size + 3)
    outcome = search_with(tmp_path, several, bench, 10 * size, "random")
    assert len(trials_of(tmp_path)) == size
    assert outcome.reason == f"all {size} policies of the space are measured"


def test_the_seeds_come_first_and_are_not_raced(tmp_path: Path) -> None:
    bench = FakeBench()
    several = Several(bench, tmp_path / "candidate.onnx", 4)
    seeds = seed_policies(bench.space)
    reference = attempt_reference(bench, tmp_path / "reference.onnx")
    recorder = Recorder()
    with StudyStore.create(tmp_path, bench.info) as store:
        driver = Driver(
            bench,
            store,
            make_sampler("guided", 0),
            Budget(30),
            crew=several,
            listeners=[recorder],
        )
        driver.run(reference)
    assert [job.policy for job in several.jobs[: len(seeds) - 1]] == seeds[1:]
    numbers = {trial.policy: trial.number for trial in trials_of(tmp_path)}
    last = max(numbers[seed] for seed in seeds)
    known = [snapshot.hypervolume is not None for snapshot in recorder.snapshots]
    assert not any(known[:last])
    assert all(known[last:])


def test_a_stop_waits_for_what_is_under_way(tmp_path: Path) -> None:
    bench = FakeBench()
    several = Several(bench, tmp_path / "candidate.onnx", 6)
    reference = attempt_reference(bench, tmp_path / "reference.onnx")
    interrupt = Interrupt(lambda: None)

    def on_trial(trial: Trial) -> None:
        interrupt.requested = trial.number >= 20

    with StudyStore.create(tmp_path, bench.info) as store:
        driver = Driver(
            bench,
            store,
            make_sampler("guided", 0),
            Budget(100),
            crew=several,
            listeners=[Recorder(on_trial)],
        )
        outcome = driver.run(reference, interrupt)
    assert outcome.reason == "interrupted"
    assert several.free == 6
    assert {job.policy for job in several.jobs} < {trial.policy for trial in trials_of(tmp_path)}


def test_one_goes_on_where_several_stopped(tmp_path: Path) -> None:
    bench = FakeBench()
    search_with(tmp_path, Several(bench, tmp_path / "candidate.onnx", 4), bench, 25)
    before: list[Policy] = [trial.policy for trial in trials_of(tmp_path)]
    assert search(tmp_path, bench, 35, sampler="guided").reason == "all 35 trials are done"
    assert [trial.policy for trial in trials_of(tmp_path)][:25] == before
