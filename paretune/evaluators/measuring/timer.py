"""How finely a clock tells time."""

import statistics
from collections.abc import Callable

Clock = Callable[[], float]

_READINGS = 10_000
_STEPS = 100


def timer_error(clock: Clock) -> float:
    """Seconds by which a span may be off that two readings of the clock bound.

    It is the typical step between readings that differ: what a reading costs where the clock is
    fine, its resolution where it is coarse. 0 for a clock that stands still while it is read.
    """
    steps = []
    previous = clock()
    for _ in range(_READINGS):
        now = clock()
        if now > previous:
            steps.append(now - previous)
            if len(steps) == _STEPS:
                break
        previous = now
    return statistics.median(steps) if steps else 0.0
