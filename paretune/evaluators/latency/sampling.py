"""Taking latency samples: two models alternate in blocks until the ratio is known well enough."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from math import ceil

from paretune.evaluators.latency.statistics import FEWEST, median

Run = Callable[[], object]
Clock = Callable[[], float]

BLOCK_SECONDS = 1e-3
"""Shorter blocks would measure the timer and the interpreter."""

_WARM_UP_SECONDS = 2.0
_STEADY_RUNS = 5
_STEADY_SHARE = 0.02
_FIRST_LOOK = 20
_LOOK_GROWTH = 1.25


@dataclass(frozen=True)
class Pairs:
    """Seconds per run, one figure a block; figures at the same index were taken side by side.

    Attributes:
        reference, candidate: as many each.
        runs: number of runs in a candidate's block.
    """

    reference: tuple[float, ...]
    candidate: tuple[float, ...]
    runs: int

    @property
    def ratios(self) -> list[float]:
        """Candidate to reference, block by block."""
        return [c / r for r, c in zip(self.reference, self.candidate, strict=True)]


def sample(
    reference: Run, candidate: Run, clock: Clock, *, target: float, max_seconds: float
) -> Pairs:
    """Alternate the two until the interval of their ratio is narrow enough, or time is up.

    Slow drifts (clock speed, neighbours on the machine) hit both sides of a pair alike and cancel
    in the ratio. Which side goes first alternates too, so that neither always inherits warm caches.

    Args:
        reference, candidate: run the model once.
        clock: gives seconds.
        target: relative half width of the 95% interval of the median ratio at which to stop.
        max_seconds: stop after this time, but not before there are enough pairs for an interval.
    """
    runs_reference = block_runs(warm_up(reference, clock))
    runs_candidate = block_runs(warm_up(candidate, clock))
    pairs: list[tuple[float, float]] = []
    deadline = clock() + max_seconds
    look = _FIRST_LOOK
    while True:
        if len(pairs) % 2 == 0:
            first = _block(reference, runs_reference, clock)
            second = _block(candidate, runs_candidate, clock)
            pairs.append((first, second))
        else:
            first = _block(candidate, runs_candidate, clock)
            second = _block(reference, runs_reference, clock)
            pairs.append((second, first))
        if len(pairs) >= look:
            if median([c / r for r, c in pairs]).relative_half_width <= target:
                break
            # Looking after every pair would stop at lucky moments, and costs time.
            look = ceil(look * _LOOK_GROWTH)
        if len(pairs) >= FEWEST and clock() >= deadline:
            break
    return Pairs(tuple(r for r, _ in pairs), tuple(c for _, c in pairs), runs_candidate)


def warm_up(run: Run, clock: Clock) -> float:
    """Run until it stops getting faster; the seconds of the fastest run."""
    best = float("inf")
    steady = 0
    end = clock() + _WARM_UP_SECONDS
    while steady < _STEADY_RUNS:
        start = clock()
        run()
        now = clock()
        steady = steady + 1 if now - start > best * (1 - _STEADY_SHARE) else 0
        best = min(best, now - start)
        if now >= end:
            break
    return best


def block_runs(seconds: float) -> int:
    """How many runs of `seconds` each make a block."""
    return max(1, ceil(BLOCK_SECONDS / seconds))


def _block(run: Run, runs: int, clock: Clock) -> float:
    start = clock()
    for _ in repeat(None, runs):
        run()
    return (clock() - start) / runs
