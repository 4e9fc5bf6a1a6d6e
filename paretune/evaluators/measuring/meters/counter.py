"""Files that count microjoules."""

from pathlib import Path

from paretune.errors import TransientError
from paretune.evaluators.measuring.meters.sysfs import number, number_again


class Counter:
    """A growing number of microjoules in a file; read it more often than it wraps around.

    Args:
        path: the file.
        span: where it starts again at 0; None for never.

    Raises:
        NoMeter: the file cannot be read.
    """

    def __init__(self, path: Path, span: int | None = None) -> None:
        self._path = path
        self._span = span
        self._last = number(path)
        self._total = 0

    def read(self) -> float:
        """Joules since it was opened.

        Raises:
            TransientError: the file cannot be read any more, or went back.
        """
        now = number_again(self._path)
        step = now - self._last
        if step < 0:
            if self._span is None:
                raise TransientError(
                    f"the energy meter started again: {self._path} went from {self._last} to {now}"
                )
            step += self._span
        self._last = now
        self._total += step
        return self._total * 1e-6

    def close(self) -> None:
        """Nothing is held."""
