"""What a study holds at one moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from paretune.search.info import StudyInfo
from paretune.search.store import StudyStore
from paretune.search.trial import Trial


@dataclass(frozen=True)
class Content:
    """A copy of what a store says: unlike the store, any thread may read it.

    Attributes:
        folder: where the study is.
        info: what it is about.
        trials: with the figures that were confirmed and tested so far.
        searched: the same with the figures that the search saw.
        hypervolume_reference: as the store's.
    """

    folder: Path
    info: StudyInfo
    trials: Sequence[Trial]
    searched: Sequence[Trial]
    hypervolume_reference: tuple[float, ...] | None

    @staticmethod
    def of(store: StudyStore) -> "Content":
        """Copy it, in the thread that the store belongs to."""
        return Content(
            store.folder,
            store.info,
            store.trials(),
            store.searched_trials(),
            store.hypervolume_reference,
        )
