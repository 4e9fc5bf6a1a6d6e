"""Who is told how a search goes: the progress display, the MLflow tracker, a notebook."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from paretune.search.store import StudyStore
from paretune.search.trial import Trial


class Phase(StrEnum):
    """What the driver is busy with."""

    SEARCH = "search"
    """Trying policies."""

    CONFIRM = "confirm"
    """Measuring the front again, on the whole `search` split and with fresh latencies."""

    TEST = "test"
    """Measuring the front once on the `test` split."""


@dataclass(frozen=True)
class Snapshot:
    """How far a search is.

    Attributes:
        phase: what the driver is busy with.
        trials: recorded so far, those of earlier runs of the same study included.
        infeasible, failed: how many of them are.
        trial_limit: the budget in trials, or None.
        space_size: number of different policies.
        front_size: members of the front.
        hypervolume: what the front dominates, up to the study's reference point; None before the
            seed policies fixed that point.
        trials_per_minute: over the last trials of this run; None before the first.
        seconds_left: estimated time to the end of the search phase, or None while unknown.
        done, total: members measured and to be measured, in the phases `confirm` and `test`.
    """

    phase: Phase = Phase.SEARCH
    trials: int = 0
    infeasible: int = 0
    failed: int = 0
    trial_limit: int | None = None
    space_size: int = 0
    front_size: int = 0
    hypervolume: float | None = None
    trials_per_minute: float | None = None
    seconds_left: float | None = None
    done: int = 0
    total: int = 0


class Listener(Protocol):
    """Is called between trials, never while one is measured. Must not raise, and be quick."""

    def on_start(self, store: StudyStore) -> None:
        """The search begins, or goes on; `store` holds the trials of earlier runs."""
        ...

    def on_trial(self, trial: Trial, snapshot: Snapshot) -> None:
        """A trial was recorded, or in the later phases one was measured again."""
        ...

    def on_phase(self, snapshot: Snapshot) -> None:
        """A phase begins: `snapshot.phase`."""
        ...

    def on_end(self, snapshot: Snapshot) -> None:
        """The search is over, finished or interrupted."""
        ...
