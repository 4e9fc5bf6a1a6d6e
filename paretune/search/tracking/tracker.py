"""The listener that keeps MLflow up to date while a search runs."""

import logging
import time
from collections.abc import Callable, Iterator

from paretune.search.config import TrackingSection
from paretune.search.listener import Phase, Snapshot
from paretune.search.store import StudyStore
from paretune.search.tracking.background import Background
from paretune.search.tracking.client import cause
from paretune.search.tracking.content import Content
from paretune.search.tracking.projection import Apply, Projection
from paretune.search.tracking.sync import write_all
from paretune.search.trial import Trial

_log = logging.getLogger(__name__)

PERIOD_S = 15.0
"""Between two writes, at least."""

GRACE_S = 1.0
"""So long the search waits for a write, since nothing of ours should run beside a measurement."""

PATIENCE = 50.0
"""A wait is followed by a pause this many times as long: at most 2% of a search goes into a slow
server, or a dead one."""

STILL_S = 60.0
"""At the end of the search, a server that does nothing for so long is given up."""


class MlflowTracker:
    """Writes between trials, now and then, and everything at the end.

    Whatever MLflow does, the search goes on: an error is reported once, and the next write
    brings what is missing. A write that hangs goes on in the background, alone.
    """

    def __init__(
        self,
        section: TrackingSection,
        apply: Apply | None,
        warn: Callable[[str], None] = _log.warning,
    ) -> None:
        """Args:
        apply: makes the front members' models (`Workbench.apply`), at the end and in another
            thread.
        warn: is told once that MLflow fails, once that it works again, and at the end if
            something is missing there.
        """
        self._section = section
        self._apply = apply
        self._warn = warn
        self._store: StudyStore | None = None
        self._projection: Projection | None = None
        self._background = Background()
        self._failing = False
        self._next = 0.0

    def on_start(self, store: StudyStore) -> None:
        self._store = store
        self._next = time.monotonic() + PERIOD_S

    def on_trial(self, trial: Trial, snapshot: Snapshot) -> None:
        if snapshot.phase is Phase.SEARCH and time.monotonic() >= self._next:
            self._update()

    def on_phase(self, snapshot: Snapshot) -> None:
        if snapshot.trials:
            self._update()

    def on_end(self, snapshot: Snapshot) -> None:
        if snapshot.trials and not self._complete():
            assert self._store is not None
            self._warn(
                f"MLflow at '{self._section.uri}' has not all of this search yet;"
                f" `paretune sync {self._store.folder}` will catch up"
            )

    def _update(self) -> None:
        """Bring the charts up to date, unless an earlier write is still at it."""
        begin = time.monotonic()
        if not self._background.busy:
            self._tell()
            self._begin(Projection.write_steps)
            if self._background.wait(GRACE_S):
                self._tell()
        end = time.monotonic()
        self._next = end + max(PERIOD_S, PATIENCE * (end - begin))

    def _complete(self) -> bool:
        """Write everything; returns whether MLflow has it."""
        background = self._background
        try:
            if not background.wait_while_moving(STILL_S):
                return False
            self._tell()
            self._begin(lambda projection, content: write_all(projection, content, self._apply))
            if not background.wait_while_moving(STILL_S):
                return False
            self._tell()
            return not self._failing
        finally:
            background.abandon()

    def _begin(self, write: Callable[[Projection, Content], Iterator[None]]) -> None:
        assert self._store is not None
        content = Content.of(self._store)

        def work() -> Iterator[None]:
            if self._projection is None:
                self._projection = Projection(content, self._section)
                yield
            yield from write(self._projection, content)

        self._background.begin(work())

    def _tell(self) -> None:
        """Say how the last write ended, if that is news."""
        error = self._background.error
        if error is None:
            if self._failing:
                self._warn(f"MLflow at '{self._section.uri}' works again")
            self._failing = False
            return
        # Whoever answers next may be another server, without the runs of this one.
        self._projection = None
        _log.debug("MLflow failed", exc_info=error)
        if not self._failing:
            self._warn(
                f"MLflow at '{self._section.uri}' fails, the search goes on without it:"
                f" {cause(error)[:200]}"
            )
        self._failing = True
