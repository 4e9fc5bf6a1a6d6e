"""Taking latency samples: two models alternate in blocks until their ratio is known well enough."""

import time
from collections.abc import Sequence
from math import ceil

from paretune.evaluators.measuring.alternation import Alternation
from paretune.evaluators.measuring.blocks import Run, Side
from paretune.evaluators.measuring.interference import Watch
from paretune.evaluators.measuring.samples import Pair, Samples, counted
from paretune.evaluators.measuring.statistics import FEWEST, median
from paretune.evaluators.measuring.timer import Clock, timer_error
from paretune.evaluators.measuring.warmup import warm_up

__all__ = ["Clock", "Run", "Samples", "sample"]

_FIRST_LOOK = 20
_FIRST_LOOK_SECONDS = 0.15
"""Less time would not show that slow swings of the ratio are no part of it."""

_LOOK_GROWTH = 1.25

_USUAL_PAIRS = 40
_LEAST_SECONDS = 0.3
_MOST_SECONDS = 2.3


def sample(
    reference: Run,
    candidate: Run,
    *,
    target: float,
    max_seconds: float | None = None,
    watch: Watch,
    patience: float = 0.0,
    clock: Clock = time.perf_counter,
) -> Samples:
    """Alternate the two until the interval of their ratio is narrow enough, or time is up.

    Slow drifts (clock speed, neighbours on the machine) hit both sides of a pair alike and cancel
    in its ratio; the side that goes first alternates, so that what is left of them cancels too, and
    sampling ends after an even number of pairs.

    Args:
        reference, candidate: run a model once; called on this thread.
        target: relative half width of the 95% interval of the median ratio at which to stop.
        max_seconds: stop after this time, but not before there are enough pairs for an interval;
            warm-up and blocks thrown away do not count. None: after 40 pairs that count, but from
            0.3 to 2.3 s.
        watch: asked before and after every block.
        patience: seconds to wait, all in all, for an end of what disturbs.
        clock: in seconds.
    """
    error = timer_error(clock)
    sides = Side(reference, clock, error), Side(candidate, clock, error)
    alternation = Alternation(*sides, watch, clock, patience)
    warm = warm_up(alternation.take, lambda: clock() - alternation.wasted)
    sides[0].plan_for(min(pair.reference.seconds for pair in warm.pairs))
    sides[1].plan_for(min(pair.candidate.seconds for pair in warm.pairs))

    alternation.start_counting()
    watch.surroundings()
    pairs: list[Pair] = []
    begin = clock()
    look = _FIRST_LOOK
    converged = False
    elapsed = 0.0
    while not converged and (len(pairs) < FEWEST or not _is_up(elapsed, max_seconds, pairs)):
        # One in each order: with an odd number, a drift would move the median.
        pairs += alternation.take(), alternation.take()
        elapsed = clock() - begin - alternation.wasted
        if len(pairs) >= look and elapsed >= _FIRST_LOOK_SECONDS:
            ratio = median([pair.ratio for pair in counted(pairs)])
            converged = ratio.relative_half_width <= target
            # Looking after every pair would stop at lucky moments, and costs time.
            look = ceil(look * _LOOK_GROWTH)
    return Samples(
        tuple(pairs),
        warm.pairs,
        warm.ended,
        converged,
        sides[0].plan,
        sides[1].plan,
        alternation.retaken,
        dict(alternation.interference),
        tuple(watch.surroundings()),
    )


def _is_up(elapsed: float, max_seconds: float | None, pairs: Sequence[Pair]) -> bool:
    if max_seconds is not None:
        return elapsed >= max_seconds
    if elapsed >= _MOST_SECONDS:
        return True
    return elapsed >= _LEAST_SECONDS and len(counted(pairs)) >= _USUAL_PAIRS
