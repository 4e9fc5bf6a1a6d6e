"""Joules from watts."""

import threading
import time
from collections.abc import Callable

from paretune.errors import TransientError


class Integral:
    """Power over time by the trapezoidal rule; a thread of its own takes a sample now and then.

    Between the runs of a model is not often enough: power would be sampled just when it rests.

    Args:
        watts: reads the power; its errors other than `TransientError` are bugs.
        interval: seconds between two samples; None takes none but those of `read`.
        clock: gives seconds.
    """

    def __init__(
        self,
        watts: Callable[[], float],
        interval: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watts = watts
        self._clock = clock
        self._lock = threading.Lock()
        self._joules = 0.0
        self._power, self._time = watts(), clock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        if interval is not None:
            self._thread = threading.Thread(target=self._keep_sampling, args=(interval,))
            self._thread.daemon = True
            self._thread.start()

    def read(self) -> float:
        """Joules since it was opened; takes a sample.

        Raises:
            TransientError: the power cannot be read any more.
        """
        with self._lock:
            power, now = self._watts(), self._clock()
            self._joules += (power + self._power) / 2 * (now - self._time)
            self._power, self._time = power, now
            return self._joules

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _keep_sampling(self, interval: float) -> None:
        while not self._closed.wait(interval):
            try:
                self.read()
            except TransientError:
                # The next `read` from outside meets it again; if not, it has passed.
                continue
