"""Quantiles with distribution-free intervals that heed how samples hang together in time."""

from collections.abc import Sequence
from functools import lru_cache
from math import exp, lgamma, log, log1p

import numpy as np
from numpy.typing import NDArray

from paretune.evaluators.measuring.result import Estimate

FEWEST = 6
"""From this number of values on, the range itself is a 95% interval of the median: 2·0.5^6 < 5%."""


def quantile(values: Sequence[float], p: float = 0.5) -> Estimate:
    """A quantile and its 95% interval from order statistics, whatever the distribution.

    Of n independent values, the number below the true quantile is Binomial(n, p), which gives the
    ranks of the interval's ends (Conover, Practical Nonparametric Statistics, 3.2). Values that
    hang together in time are worth fewer independent ones: n divided by the integrated
    autocorrelation time of "below the quantile" (Geyer, doi:10.1214/ss/1177011137). The interval
    is the whole range where there are too few.

    Args:
        values: in the order of time; at least one.
        p: between 0 and 1.
    """
    series = np.asarray(values, dtype=np.float64)
    n = len(series)
    value = float(np.quantile(series, p))
    worth = max(1, round(n / correlation_time(series <= value)))
    low, high = _ranks(worth, p)
    ordered = np.sort(series)
    # Ranks among `worth` values, spread over all of them.
    first = int(low * n / worth)
    last = n - 1 - int((worth - 1 - high) * n / worth)
    return Estimate(value, min(value, float(ordered[first])), max(value, float(ordered[last])))


def median(values: Sequence[float]) -> Estimate:
    """The median and its 95% interval; see `quantile`."""
    return quantile(values, 0.5)


def correlation_time(below: NDArray[np.bool_]) -> float:
    """Integrated autocorrelation time of a series, in samples; at least 1.

    Sums of neighbouring autocorrelations are added up while they are positive and falling, which
    they always are but for noise (Geyer's initial monotone sequence). Centring on the series' own
    mean takes 1/n of the result off every autocorrelation, which is put back.
    """
    n = len(below)
    centred = below - below.mean()
    power = float(centred @ centred)
    if power == 0:
        return 1.0
    total, smallest, lag = -1.0, 2.0, 0
    while lag + 1 < n:
        products = (float(centred[: n - k] @ centred[k:]) for k in (lag, lag + 1))
        pair = sum(products) / power
        if pair <= 0:
            break
        smallest = min(smallest, pair)
        total += 2 * smallest
        lag += 2
    added_up = 2 * lag - 1
    return max(1.0, total / max(1 / n, 1 - added_up / n))


@lru_cache(maxsize=4096)
def _ranks(n: int, p: float) -> tuple[int, int]:
    """Indices of the interval's ends among n ordered values."""
    return _rank(n, p), n - 1 - _rank(n, 1 - p)


def _rank(n: int, p: float) -> int:
    """The largest k with P(Binomial(n, p) < k + 1) <= 2.5%; 0 if there is none."""
    below = 0.0
    for k in range(n + 1):
        below += exp(
            lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(p) + (n - k) * log1p(-p)
        )
        if below > 0.025:
            return max(k - 1, 0)
    return n
