"""Where a surrogate is wrong: predictions of trials that it has not seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretune.evaluators.intervals import Z
from paretune.search.guided.structure import Structure
from paretune.search.guided.surrogate import Surrogate

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

FOLDS = 5
"""Parts of the trials; each is predicted from the others."""


@dataclass(frozen=True)
class Predictions:
    """What the others say of each trial, and what was measured.

    Attributes:
        measured, predicted: shape (trials,), in the unit of the metric.
        low, high: 95% interval of what a measurement should give, shape (trials,).
        surprise: how many deviations a trial is off, on the scale that the surrogate works on.
    """

    measured: Floats
    predicted: Floats
    low: Floats
    high: Floats
    surprise: Floats

    @property
    def r2(self) -> float:
        """Share of the variance that is predicted; 0 is no better than the mean."""
        around = float(((self.measured - self.measured.mean()) ** 2).sum())
        missed = float(((self.measured - self.predicted) ** 2).sum())
        return 1 - missed / around if around > 0 else 0.0

    @property
    def error(self) -> float:
        """Root of the mean squared error, in the unit of the metric."""
        return float(np.sqrt(((self.measured - self.predicted) ** 2).mean()))

    @property
    def coverage(self) -> float:
        """Share of the trials whose interval holds what was measured."""
        return float(((self.low <= self.measured) & (self.measured <= self.high)).mean())

    @property
    def widening(self) -> float:
        """What the surrogate's deviations must be multiplied with to be honest; 1 at the least.

        So many times as wide, 95% of the intervals would hold: the idea of conformal prediction
        (Vovk, Gammerman and Shafer, 2005), on the scale that the surrogate works on.
        """
        return max(1.0, float(np.quantile(np.abs(self.surprise), 0.95)) / Z)

    def misjudged(self, most: int) -> list[int]:
        """Trials outside their interval, the most surprising first."""
        outside = (self.measured < self.low) | (self.measured > self.high)
        order = np.argsort(-np.abs(self.surprise), kind="stable")
        return [int(row) for row in order if outside[row]][:most]


def predictions(
    structure: Structure, x: Indices, y: Floats, surrogate: Surrogate, sign: float
) -> Predictions:
    """Predict each fold of the trials from the other folds.

    Args:
        x: option indices, shape (trials, knobs).
        y: costs, shape (trials,).
        surrogate: fitted to all; the folds start from its variances.
        sign: 1 where the metric is to be minimized, -1 where it is to be maximized.
    """
    fold = np.random.default_rng(0).permutation(np.arange(len(x)) % FOLDS)
    centre, low, high, surprise = (np.zeros(len(x)) for _ in range(4))
    for out in (fold == part for part in range(FOLDS)):
        seen = Surrogate.fit(structure, x[~out], y[~out], surrogate)
        mean, deviation = seen.spread(x[out])
        spread = np.sqrt(deviation**2 + seen.kernel.variances.noise)
        centre[out] = seen.warp.back(mean)
        low[out], high[out] = seen.warp.back(mean - Z * spread), seen.warp.back(mean + Z * spread)
        surprise[out] = (seen.warp(y[out]) - mean) / spread
    if sign < 0:
        low, high = -high, -low
    return Predictions(sign * y, sign * centre, low, high, sign * surprise)
