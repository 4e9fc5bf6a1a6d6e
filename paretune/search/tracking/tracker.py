"""The listener that keeps MLflow up to date while a search runs."""

import logging
import time
from collections.abc import Callable

from paretune.search.config import TrackingSection
from paretune.search.listener import Phase, Snapshot
from paretune.search.store import StudyStore
from paretune.search.tracking.projection import Apply, Projection
from paretune.search.tracking.sync import write_all
from paretune.search.trial import Trial

_log = logging.getLogger(__name__)

PERIOD_S = 15.0
"""Between two writes, at least."""

PATIENCE = 50.0
"""A write that took long is followed by a pause this many times as long: at most 2% of a search
goes into a slow server, or into waiting for a dead one."""


class MlflowTracker:
    """Writes between trials, now and then, and everything at the end.

    Whatever MLflow does, the search goes on: an error is reported once, and the next write
    brings what is missing.
    """

    def __init__(
        self,
        section: TrackingSection,
        apply: Apply | None,
        warn: Callable[[str], None] = _log.warning,
    ) -> None:
        """Args:
        apply: makes the front members' models (`Workbench.apply`).
        warn: is told once that MLflow fails, and once that it works again.
        """
        self._section = section
        self._apply = apply
        self._warn = warn
        self._store: StudyStore | None = None
        self._projection: Projection | None = None
        self._failing = False
        self._next = 0.0

    def on_start(self, store: StudyStore) -> None:
        self._store = store
        self._next = time.monotonic() + PERIOD_S

    def on_trial(self, trial: Trial, snapshot: Snapshot) -> None:
        if snapshot.phase is Phase.SEARCH and time.monotonic() >= self._next:
            self._guarded(Projection.write_steps)

    def on_phase(self, snapshot: Snapshot) -> None:
        if snapshot.trials:
            self._guarded(Projection.write_steps)

    def on_end(self, snapshot: Snapshot) -> None:
        if snapshot.trials:
            self._guarded(lambda projection: write_all(projection, self._apply))

    def _guarded(self, write: Callable[[Projection], None]) -> None:
        assert self._store is not None
        begin = time.monotonic()
        try:
            if self._projection is None:
                self._projection = Projection(self._store, self._section)
            write(self._projection)
        except Exception as error:  # noqa: BLE001 (a projection must not end the search)
            _log.debug("MLflow failed", exc_info=True)
            if not self._failing:
                self._warn(
                    f"MLflow at '{self._section.uri}' fails, the search goes on without it and"
                    f" `paretune sync` will catch up: {str(error).splitlines()[0][:200]}"
                )
            self._failing = True
        else:
            if self._failing:
                self._warn(f"MLflow at '{self._section.uri}' works again")
            self._failing = False
        end = time.monotonic()
        self._next = end + max(PERIOD_S, PATIENCE * (end - begin))
