"""Contention: does another thread of the same physical core take its execution units away?

On a shared machine the sibling of a CPU may belong to somebody else, and no counter tells what it
does. (Measured on a virtual machine, within seconds and at the same clock speed: an fp32 CNN took
1.3 times as long, its int8 version 1.7 times, so that their ratio rose from 0.63 to 0.80.)
"""

import time
from collections import deque
from collections.abc import Callable

import numpy as np

CONTENDED = "contended"

LIMIT = 1.2
"""By which factor throughput may fall behind. (Measured: up to 1.1 when alone, 1.35 to 1.6 when
not.)"""

_KEPT = 2000
_LEARNED_EVERY = 20
_ALONE = 0.1
"""The share of looks that surely had the core to themselves."""


class Contention:
    """Compares work that fills the execution units with work that waits for one of them.

    Adding up is a chain: every addition waits for the one before, and the units idle meanwhile, so
    that a sibling takes little away. Adding pairwise keeps them busy, and shares them with a
    sibling. The clock speed cancels in the ratio of the two, and what is left depends on the kind
    of CPU alone; a low quantile of those so far is taken for that of an undisturbed core.
    """

    def __init__(self) -> None:
        # They stay in the first-level cache.
        self._chain = np.ones(1024)
        self._pairs = np.ones(1024, np.float32)
        self._sums = np.empty_like(self._chain)
        self._out = np.empty_like(self._pairs)
        self._ratios: deque[float] = deque(maxlen=_KEPT)
        self._looks = 0
        self._alone = 0.0

    def look(self) -> bool:
        """Whether the core is shared now. Takes some 40 microseconds."""
        ratio = self._ratio()
        self._ratios.append(ratio)
        if self._looks % _LEARNED_EVERY == 0:
            self._alone = float(np.quantile(self._ratios, _ALONE))
        self._looks += 1
        return ratio > LIMIT * self._alone

    def _ratio(self) -> float:
        # Apart, and often enough that what the model left in the caches does not count.
        chain = _fastest(lambda: np.cumsum(self._chain, out=self._sums), 5)
        pairs = _fastest(lambda: np.add(self._pairs, self._pairs, out=self._out), 12)
        return pairs / chain


def _fastest(work: Callable[[], object], repeats: int) -> float:
    clock = time.perf_counter
    best = float("inf")
    for _ in range(repeats):
        start = clock()
        work()
        best = min(best, clock() - start)
    return best
