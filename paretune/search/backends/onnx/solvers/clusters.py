"""Weighted k-means of numbers."""

import numpy as np

from paretune.search.backends.onnx.solvers.problem import Matrix

_CUTS = 128
"""Bins are cut at about three times so many places; fewer values than that are no bins, but
exact."""

_ROUNDS = 1000


def cluster(values: Matrix, weights: Matrix, count: int, *, zero: bool = False) -> Matrix:
    """Centres with the least sum of weights times squared distances to the nearest centre.

    Dynamic programming over the sorted values finds the optimum (Ckmeans.1d.dp, Wang and Song,
    doi:10.32614/RJ-2011-015). Many values are put into bins for that, and Lloyd's rounds over the
    values themselves follow.

    Args:
        values: shape (any,).
        weights: shape of `values`, above 0.
        count: of centres; at least 1, or 2 with `zero`.
        zero: one of the centres is 0.

    Returns:
        float64, ascending; fewer than `count` where there are fewer values.
    """
    values, weights = _distinct(values, weights)
    count -= zero
    few = len(values) <= count
    centres = values if few else _optimum(*_binned(values, weights, count), count)
    if zero:
        centres = np.union1d(centres, 0.0)
    return centres if few else _lloyd(values, weights, centres, zero)


def _distinct(values: Matrix, weights: Matrix) -> tuple[Matrix, Matrix]:
    """Each value once, ascending, with the sum of its weights."""
    order = np.argsort(values, kind="stable")
    ascending = values[order]
    first = np.flatnonzero(np.diff(ascending, prepend=-np.inf))
    return ascending[first], np.add.reduceat(weights[order], first) if len(first) else weights


def _binned(values: Matrix, weights: Matrix, count: int) -> tuple[Matrix, Matrix]:
    """Means and weights of bins, more than `count` of them.

    Cut at equal steps of the value, of the weight and of the rank: neither the far values nor the
    heavy ones nor the many end up in one bin.
    """
    total = np.cumsum(weights)
    steps = np.linspace(0, 1, _CUTS, endpoint=False)
    cuts = [
        np.searchsorted(values, values[0] + steps * (values[-1] - values[0])),
        np.searchsorted(total, steps * total[-1]),
        np.linspace(0, len(values), max(_CUTS, 3 * count // 2), endpoint=False).astype(np.int64),
    ]
    first = np.unique(np.concatenate(cuts))
    if len(values) <= _CUTS * len(cuts):
        first = np.arange(len(values))
    mass = np.add.reduceat(weights, first)
    return np.add.reduceat(weights * values, first) / mass, mass


def _optimum(values: Matrix, weights: Matrix, count: int) -> Matrix:
    """The best centres of distinct values, more than `count`."""
    size = len(values)
    # Of values i to j as one cluster, at [j, i]; as distances to value i, which are small.
    distances = np.tril(np.subtract.outer(values, values))
    inside = np.tril(np.broadcast_to(weights[:, None], (size, size)))
    mass, first, second = (np.cumsum(inside * distances**power, axis=0) for power in range(3))
    mean = np.divide(first, mass, out=np.zeros_like(mass), where=mass > 0)
    cost = np.where(mass > 0, second - first * mean, np.inf)
    # No cluster is empty: those up to number k end at one of so many values, from value k on.
    ends = size - count + 1
    best, starts = cost[:ends, 0], []
    for k in range(1, count):
        # The last one starts after the value at which those before it end.
        grown = cost[k : k + ends, k : k + ends] + best
        starts.append(k + grown.argmin(axis=1))
        best = np.take_along_axis(grown, starts[-1][:, None] - k, axis=1)[:, 0]
    last, centres = size - 1, []
    for k in range(count - 1, 0, -1):
        start = starts[k - 1][last - k]
        centres.append(values[start] + mean[last, start])
        last = start - 1
    centres.append(values[0] + mean[last, 0])
    found: Matrix = np.array(centres[::-1])
    return found


def _lloyd(values: Matrix, weights: Matrix, centres: Matrix, zero: bool) -> Matrix:
    """Move centres to the means of their values until no value changes its centre."""
    total = np.append(0.0, np.cumsum(weights))
    moment = np.append(0.0, np.cumsum(weights * values))
    before = np.empty(0, np.intp)
    for _ in range(_ROUNDS):
        between = (centres[1:] + centres[:-1]) / 2
        cuts = np.concatenate([[0], np.searchsorted(values, between, side="right"), [len(values)]])
        if np.array_equal(cuts, before):
            break
        before = cuts
        moved = np.flatnonzero((np.diff(cuts) > 0) & ~(zero & (centres == 0)))
        start, end = cuts[moved], cuts[moved + 1]
        means = (moment[end] - moment[start]) / (total[end] - total[start])
        # Differences of sums of many values are not exact.
        centres[moved] = np.clip(means, values[start], values[end - 1])
    return centres
