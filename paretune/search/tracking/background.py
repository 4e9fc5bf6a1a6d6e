"""Work beside the search: in one thread, for which nobody has to wait longer than they like."""

import time
from collections.abc import Iterable
from threading import Thread


class Background:
    """Works through one iterable at a time; each of its items is a sign of progress.

    The thread is a daemon: work that is stuck does not keep the program from ending.

    Attributes:
        error: what the last work failed with; None if it came to its end.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._thread: Thread | None = None
        self._moved = 0.0
        self._abandoned = False

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def begin(self, work: Iterable[object]) -> None:
        """Begin, and return at once.

        Raises:
            RuntimeError: the work before has not ended yet.
        """
        if self.busy:
            raise RuntimeError("the work before has not ended yet")
        self.error = None
        self._moved = time.monotonic()
        self._thread = Thread(target=self._run, args=(work,), name="paretune-mlflow", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait at most so long for the end of the work; returns whether it has ended."""
        if self._thread is not None:
            self._thread.join(seconds)
        return not self.busy

    def wait_while_moving(self, seconds: float) -> bool:
        """Wait as long as there is progress at least so often; returns whether it has ended."""
        while self.busy and (left := self._moved + seconds - time.monotonic()) > 0:
            self.wait(left)
        return not self.busy

    def abandon(self) -> None:
        """The work stops at its next sign of progress."""
        self._abandoned = True

    def _run(self, work: Iterable[object]) -> None:
        try:
            for _ in work:
                self._moved = time.monotonic()
                if self._abandoned:
                    return
        except Exception as error:  # noqa: BLE001 (whoever waits looks at it)
            self.error = error
