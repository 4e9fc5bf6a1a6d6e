"""Running the real driver on models that cost nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path

from paretune.evaluators import SplitName
from paretune.search.attempt import attempt_reference
from paretune.search.budget import Budget
from paretune.search.driver import Driver, Outcome
from paretune.search.interrupt import Interrupt
from paretune.search.listener import Listener, Phase, Snapshot
from paretune.search.samplers import make_sampler
from paretune.search.store import StudyStore
from paretune.search.trial import Trial
from paretune.spaces import Policy, Precision
from tests.search.fake import FakeBench


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
    racing: bool = True,
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
        driver = Driver(
            bench,
            store,
            make_sampler(sampler, seed),
            budget,
            listeners=listeners,
            racing=racing,
        )
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


class Stop(BaseException):
    """Stands for a kill."""
