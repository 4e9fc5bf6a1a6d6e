"""Taking blocks: how many runs they have, and what comes before them."""

from collections.abc import Callable
from itertools import repeat
from math import ceil

from paretune.evaluators.measuring.samples import Block, Plan
from paretune.evaluators.measuring.timer import Clock

Run = Callable[[], object]

TIMER_SHARE = 1e-3
"""The timer's error is at most this share of what is timed."""

BLOCK_SECONDS = 1e-3
"""Shorter blocks would measure the interpreter."""

SETTLING_RUNS = 5
SETTLING_SECONDS = 2e-3
SETTLING_LIMIT = 30e-3

_GUESSES = 3
_LEAST_SECONDS = 1e-7


class Side:
    """One of the two models.

    After the other model ran, caches and branch predictors have to be won back, which takes a few
    runs. (Measured: the first run of an int8 CNN after its fp32 model took 42% longer than its
    sixth, the second 17%.) A model that is served alone never pays for that, so a block that
    follows another model's opens with runs that are not timed.

    Args:
        run: runs the model once.
        clock: in seconds.
        error: of the clock (`timer_error`).
    """

    def __init__(self, run: Run, clock: Clock, error: float) -> None:
        self._run = run
        self._clock = clock
        self._shortest = error / TIMER_SHARE
        # The first run of all also allocates.
        run()
        self.plan_for(min(self._time(1) for _ in range(_GUESSES)))

    def plan_for(self, seconds: float) -> None:
        """Set what a block consists of.

        Args:
            seconds: that a run takes.
        """
        self.plan = plan(seconds, self._shortest)

    def settle(self) -> None:
        """Run the model as often as it takes to win the caches back."""
        for _ in repeat(None, self.plan.settling):
            self._run()

    def block(self) -> Block:
        """Take a block."""
        group = self.plan.group
        return Block(tuple(self._time(group) / group for _ in range(self.plan.groups)))

    def _time(self, runs: int) -> float:
        run, clock = self._run, self._clock
        start = clock()
        for _ in repeat(None, runs):
            run()
        return clock() - start


def plan(seconds: float, shortest: float) -> Plan:
    """What a block of a model consists of.

    Args:
        seconds: that a run takes; 0 where the clock is too coarse to see it.
        shortest: seconds that the clock can time well.
    """
    seconds = max(seconds, _LEAST_SECONDS)
    group = max(1, ceil(shortest / seconds))
    enough = max(SETTLING_RUNS, ceil(SETTLING_SECONDS / seconds))
    settling = max(1, min(enough, int(SETTLING_LIMIT / seconds)))
    # Settling is paid for anyway; timing about as many runs halves the noise of a block.
    groups = max(ceil(BLOCK_SECONDS / (group * seconds)), settling // group - 1)
    return Plan(settling, groups | 1, group)
