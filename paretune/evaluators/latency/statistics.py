"""Medians with distribution-free intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb


@dataclass(frozen=True)
class Median:
    """A sample median with its 95% interval; the whole range where there are too few values."""

    value: float
    low: float
    high: float

    @property
    def relative_half_width(self) -> float:
        """Half the interval's width as a share of the value."""
        return (self.high - self.low) / 2 / self.value


FEWEST = 6
"""From this number of values on, the range itself is a 95% interval of the median: 2·0.5^6 < 5%."""


def median(values: Sequence[float]) -> Median:
    """The median and its interval from order statistics, whatever the distribution.

    The interval is (x_(k), x_(n+1-k)) with the largest k such that a Binomial(n, 1/2) falls below k
    with probability of at most 2.5% (Conover, Practical Nonparametric Statistics, 3.2).

    Args:
        values: at least one.
    """
    ordered = sorted(values)
    n = len(ordered)
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    k = _rank(n)
    return Median(middle, ordered[k - 1], ordered[n - k])


@lru_cache(maxsize=4096)
def _rank(n: int) -> int:
    below, k = 0, 0
    # P(X < k + 1) <= 1/40, in whole numbers.
    while 40 * (below + comb(n, k)) <= 1 << n:
        below += comb(n, k)
        k += 1
    return max(k, 1)
