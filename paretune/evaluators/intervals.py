"""95% intervals of means: of shares, of scores, and of paired differences."""

from math import sqrt

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Interval = tuple[float, float]

Z = 1.959963984540054
"""The 97.5% quantile of the standard normal distribution."""


def mean_interval(scores: Scores, *, shares: bool = True) -> Interval | None:
    """Interval of the mean of per-sample scores.

    Hits and misses (every score 1 or 0) get Wilson's score interval, other scores Student's.

    Args:
        scores: shape (samples,).
        shares: whether scores of only 0 and 1 may be hits and misses.

    Returns:
        low and high, or None where fewer than two scores say nothing about the spread.
    """
    if shares and np.isin(scores, (0.0, 1.0)).all():
        return wilson(int(scores.sum()), len(scores))
    return student(scores)


def difference_interval(first: Scores, second: Scores) -> Interval | None:
    """Interval of the mean of `first - second`, scores of the same samples.

    Shares get the interval of Agresti and Min (2005), which stays honest when hardly any sample
    differs; other scores Student's interval of the differences.

    Args:
        first, second: shape (samples,).
    """
    binary = (0.0, 1.0)
    if np.isin(first, binary).all() and np.isin(second, binary).all():
        gained = int(((first == 1) & (second == 0)).sum())
        lost = int(((first == 0) & (second == 1)).sum())
        return paired_shares(gained, lost, len(first))
    return student(first - second)


def wilson(hits: int, samples: int) -> Interval:
    """Wilson's score interval of the share `hits / samples` (Wilson 1927, JASA 22:209).

    It covers well near 0 and 1, where the normal approximation does not.
    """
    share = hits / samples
    scale = 1 + Z**2 / samples
    centre = (share + Z**2 / (2 * samples)) / scale
    half = Z * sqrt(share * (1 - share) / samples + Z**2 / (4 * samples**2)) / scale
    # Rounding must not push the share itself out of its interval.
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def paired_shares(gained: int, lost: int, samples: int) -> Interval:
    """Interval of `(gained - lost) / samples` by Agresti and Min (Stat. Med. 24:729, 2005).

    The adjusted Wald interval for the difference of two shares of the same samples: half a sample
    is added to each cell of the 2×2 table.

    Args:
        gained: samples that only the first one gets right.
        lost: samples that only the second one gets right.
        samples: all samples, those on which both agree included.
    """
    total = samples + 2
    centre = (gained - lost) / total
    variance = (gained + lost + 1 - (gained - lost) ** 2 / total) / total**2
    half = Z * sqrt(variance)
    return max(-1.0, centre - half), min(1.0, centre + half)


def student_quantile(freedom: int) -> float:
    """The 97.5% quantile of Student's t distribution, by the Cornish-Fisher expansion.

    Abramowitz and Stegun 26.7.5; within 0.2% from 5 degrees of freedom on.
    """
    terms = (
        (Z**3 + Z) / 4,
        (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96,
        (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384,
        (79 * Z**9 + 776 * Z**7 + 1482 * Z**5 - 1920 * Z**3 - 945 * Z) / 92160,
    )
    return Z + sum(term / float(freedom ** (k + 1)) for k, term in enumerate(terms))


def student(scores: Scores) -> Interval | None:
    """Student's interval of the mean, or None for fewer than two scores."""
    samples = len(scores)
    if samples < 2:
        return None
    mean = float(scores.mean())
    half = student_quantile(samples - 1) * float(scores.std(ddof=1)) / sqrt(samples)
    return mean - half, mean + half
