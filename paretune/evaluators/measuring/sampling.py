"""Taking latency samples: two models alternate in blocks until their ratio is known well enough."""

import time
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
_LOOK_GROWTH = 1.25

_SPAN_RUNS = 400
"""Of each model, in the shortest time that a measurement spans. A host has moods, of up to a second
or so, that favour one of two models, and within one of them no interval knows of the others.
Accuracy takes more runs, so a trial is hardly longer for it.
"""

_SHORTEST_SPAN = 0.2
_LONGEST_SPAN = 1.5
_MOST_SPANS = 1.5


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
            warm-up and blocks thrown away do not count. None: after the time of 600 runs of each,
            but from 0.3 to 2.25 s. The interval is not asked for before two thirds of it.
        watch: asked before and after every block.
        patience: seconds to wait, all in all, for an end of what disturbs.
        clock: in seconds.
    """
    error = timer_error(clock)
    sides = Side(reference, clock, error), Side(candidate, clock, error)
    alternation = Alternation(*sides, watch, clock, patience)
    warm = warm_up(alternation.take, lambda: clock() - alternation.wasted)
    seconds = (
        min(pair.reference.seconds for pair in warm.pairs),
        min(pair.candidate.seconds for pair in warm.pairs),
    )
    for side, run in zip(sides, seconds, strict=True):
        side.plan_for(run)
    span = min(max(_SPAN_RUNS * sum(seconds), _SHORTEST_SPAN), _LONGEST_SPAN)
    # What disturbed pairs take is no part of the span, so they may need as long as a slow model.
    usual, most = _MOST_SPANS * span, _MOST_SPANS * _LONGEST_SPAN
    if max_seconds is not None:
        usual = most = max_seconds
        span = min(span, max_seconds / _MOST_SPANS)

    alternation.start_counting()
    watch.surroundings()
    pairs: list[Pair] = []
    begin = clock()
    look = _FIRST_LOOK
    converged = False
    elapsed = useful = 0.0
    while not converged and (len(pairs) < FEWEST or (useful < usual and elapsed < most)):
        # One in each order: with an odd number, a drift would move the median.
        pairs += alternation.take(), alternation.take()
        elapsed = clock() - begin - alternation.wasted
        useful = elapsed * sum(not pair.disturbed for pair in pairs) / len(pairs)
        if len(pairs) >= look and useful >= span:
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
