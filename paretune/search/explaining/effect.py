"""Effects: a change of one objective, with its interval, and which of many to believe."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import erfc, sqrt

import numpy as np
from numpy.typing import NDArray

from paretune.evaluators.intervals import Z

Floats = NDArray[np.float64]

FALSE_DISCOVERIES = 0.05
"""Of the effects called real, at most this share is expected to be noise."""


@dataclass(frozen=True)
class Effect:
    """A change of one objective.

    Attributes:
        value: in the metric's unit.
        low, high: 95% interval.
        gain: what of it is for the better; negative where it is for the worse.
        real: beyond noise, among all effects of the objective that were looked at.
    """

    value: float
    low: float
    high: float
    gain: float
    real: bool

    @property
    def half(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2

    @property
    def better(self) -> bool:
        """Really a gain."""
        return self.real and self.gain > 0

    @property
    def worse(self) -> bool:
        """Really a loss."""
        return self.real and self.gain < 0

    @property
    def worst_loss(self) -> float:
        """What is lost at the bad end of the interval; 0 where even that is no loss."""
        return max(0.0, self.half - self.gain)

    @property
    def best_gain(self) -> float:
        """What is gained at the good end of the interval; 0 where even that is no gain."""
        return max(0.0, self.half + self.gain)


@dataclass(frozen=True)
class Estimate:
    """The posterior of a change, in costs (less is better)."""

    mean: float
    deviation: float


def effects(estimates: Sequence[Estimate], sign: float, widening: float) -> list[Effect]:
    """Intervals, and which of all these estimates are beyond noise.

    Args:
        sign: 1 where the metric is to be minimized, -1 where it is to be maximized.
        widening: factor of all deviations.
    """
    spread = np.array([widening * estimate.deviation for estimate in estimates])
    costs = np.array([estimate.mean for estimate in estimates])
    real = discoveries(np.array([erfc(z) for z in np.abs(costs) / spread / sqrt(2)]))
    return [
        Effect(
            value=float(sign * cost),
            low=float(sign * cost - Z * deviation),
            high=float(sign * cost + Z * deviation),
            gain=-float(cost),
            real=bool(found),
        )
        for cost, deviation, found in zip(costs, spread, real, strict=True)
    ]


def discoveries(chances: Floats, rate: float = FALSE_DISCOVERIES) -> NDArray[np.bool_]:
    """Which of many findings to believe, so that about a share `rate` of these is false.

    Benjamini and Hochberg, J. R. Stat. Soc. B 57:289 (1995).

    Args:
        chances: of seeing so much where there is nothing (p-values), shape (findings,).

    Returns:
        shape (findings,).
    """
    count = len(chances)
    order = np.argsort(chances)
    fits = np.flatnonzero(chances[order] <= rate * np.arange(1, count + 1) / max(count, 1))
    found = np.zeros(count, dtype=np.bool_)
    if len(fits):
        found[order[: fits[-1] + 1]] = True
    return found
