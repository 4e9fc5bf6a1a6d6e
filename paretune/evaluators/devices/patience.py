"""Patience: a device that is away may come back, so one waits for it, but not for ever."""

import random
import time
from collections.abc import Callable
from threading import Event
from typing import TypeVar

from paretune.errors import TransientError

_T = TypeVar("_T")

_FIRST_DELAY = 0.2
_LONGEST_DELAY = 15.0


class Unreachable(Exception):
    """The device gave no answer, or says that it cannot do it now; the text is why."""


class Patience:
    """Tries again with back-off.

    Args:
        name: of the device, for messages.
        seconds: to go on with one step, from its first failure on.
    """

    def __init__(self, name: str, seconds: float) -> None:
        self.seconds = seconds
        self._name = name
        self._over = Event()

    @property
    def over(self) -> bool:
        """Whether `end` was called."""
        return self._over.is_set()

    def end(self) -> None:
        """Wait no more, also in other threads."""
        self._over.set()

    def keep(self, step: Callable[[], _T]) -> _T:
        """Do `step`, and do it again as long as it raises `Unreachable`.

        Pauses double from 0.2 s to 15 s, with jitter, so that several searches that lost the same
        device do not come back to it at once.

        Raises:
            TransientError: it was so for `seconds`, or patience has ended.
        """
        deadline: float | None = None
        delay = _FIRST_DELAY
        while True:
            try:
                return step()
            except Unreachable as error:
                now = time.monotonic()
                deadline = deadline or now + self.seconds
                if self.over:
                    raise TransientError(f"device '{self._name}' is closed") from error
                if now >= deadline:
                    raise TransientError(
                        f"device '{self._name}' is away for more than {self.seconds:g} s: {error}"
                    ) from error
                self._over.wait(min(random.uniform(delay / 2, delay), deadline - now))
                delay = min(2 * delay, _LONGEST_DELAY)
