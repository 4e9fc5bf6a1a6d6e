"""Warm-up: it ends when it is seen to have ended, not after a number of runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from paretune.evaluators.measuring.samples import Pair
from paretune.evaluators.measuring.timer import Clock

TOLERANCE = 0.02
"""The first half of the window may be slower by so much."""

_LIMIT_SECONDS = 1.0
_WINDOW_PAIRS = 6
_WINDOW_SECONDS = 0.1
_FEWEST = 2


@dataclass(frozen=True)
class WarmUp:
    """Pairs that do not count.

    Attributes:
        ended: within the time limit.
    """

    pairs: tuple[Pair, ...]
    ended: bool


def warm_up(take: Callable[[], Pair], clock: Clock) -> WarmUp:
    """Take pairs until the two halves of the latest ones agree, or a time limit is reached.

    The window has at least six pairs, and spans at least 100 ms: clock speeds need some 50 to rise.
    """
    pairs: list[Pair] = []
    stamps = [clock()]
    end = stamps[0] + _LIMIT_SECONDS
    while True:
        pairs.append(take())
        stamps.append(clock())
        window = _window(stamps)
        agreed = window >= _FEWEST and _steady(pairs[-window:])
        full = window >= _WINDOW_PAIRS and stamps[-1] - stamps[-1 - window] >= _WINDOW_SECONDS
        late = len(pairs) >= _FEWEST and stamps[-1] >= end
        if (agreed and full) or late:
            return WarmUp(tuple(pairs), agreed)


def _window(stamps: Sequence[float]) -> int:
    """Number of the latest pairs that make a window; all where that is not enough.

    Args:
        stamps: times before the first pair and after every pair.
    """
    pairs = len(stamps) - 1
    window = min(_WINDOW_PAIRS, pairs)
    while window < pairs and stamps[-1] - stamps[-1 - window] < _WINDOW_SECONDS:
        window += 1
    return window


def _steady(pairs: Sequence[Pair]) -> bool:
    return _agree([pair.reference.seconds for pair in pairs]) and _agree(
        [pair.candidate.seconds for pair in pairs]
    )


def _agree(values: Sequence[float]) -> bool:
    """Whether the first half has been as fast as the second one usually is.

    Being cold slows every block of the first half down; noise leaves some as they are.
    """
    middle = len(values) // 2
    return min(values[:middle]) <= (1 + TOLERANCE) * median(values[middle:])
