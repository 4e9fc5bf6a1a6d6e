"""Monotone warps: a scale on which the effects of layers add up better than on the original one."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from paretune.search.guided.arrays import Floats

Shape = Literal["plain", "root", "logarithm", "ceiling", "logit"]

"""Effects add up as they are, multiply, or run into a ceiling, such as accuracy at chance."""

_ROOM = 0.03
"""Of the values' range, what is left to the ends that a shape may have."""

_LEAST = 1e-3


@dataclass(frozen=True)
class Warp:
    """Standardizes values after bending them.

    Attributes:
        shape: how.
        low, width: of the values, which it works on relative to these.
        mean, deviation: of what it makes of them.
    """

    shape: Shape
    low: float
    width: float
    mean: float = 0.0
    deviation: float = 1.0

    @staticmethod
    def of(y: Floats, shape: Shape) -> "Warp":
        """Fit it to values, shape (trials,)."""
        low, width = float(y.min()), float(np.ptp(y)) or 1.0
        raw = Warp(shape, low, width)(y)
        return Warp(shape, low, width, float(raw.mean()), float(raw.std()) or 1.0)

    def __call__(self, y: Floats) -> Floats:
        """Values on the new scale: mean 0, deviation 1 for those it was fitted to."""
        return (self._bent(self._share(y)) - self.mean) / self.deviation

    def back(self, z: Floats) -> Floats:
        """Undo it."""
        raw = z * self.deviation + self.mean
        match self.shape:
            case "plain":
                t = raw
            case "root":
                t = np.maximum(raw, 0.0) ** 2
            case "logarithm":
                t = np.exp(np.minimum(raw, 5.0))
            case "ceiling":
                t = 1 - np.exp(-raw)
            case "logit":
                t = 1 / (1 + np.exp(-raw))
        return self.low + self.width * ((1 + 2 * _ROOM) * t - _ROOM)

    def slope(self, y: Floats) -> Floats:
        """Derivative of the warp at values."""
        t = self._share(y)
        match self.shape:
            case "plain":
                found = np.ones_like(t)
            case "root":
                found = 0.5 / np.sqrt(t)
            case "logarithm":
                found = 1 / t
            case "ceiling":
                found = 1 / (1 - t)
            case "logit":
                found = 1 / (t * (1 - t))
        bent: Floats = found / ((1 + 2 * _ROOM) * self.width * self.deviation)
        return bent

    def _share(self, y: Floats) -> Floats:
        """Of the range and the room at its ends; inside of 0 to 1 where the shape needs it."""
        t = ((y - self.low) / self.width + _ROOM) / (1 + 2 * _ROOM)
        if self.shape in ("root", "logarithm", "logit"):
            t = np.maximum(t, _LEAST)
        if self.shape in ("ceiling", "logit"):
            t = np.minimum(t, 1 - _LEAST)
        found: Floats = t
        return found

    def _bent(self, t: Floats) -> Floats:
        match self.shape:
            case "plain":
                found = t
            case "root":
                found = np.sqrt(t)
            case "logarithm":
                found = np.log(t)
            case "ceiling":
                found = -np.log1p(-t)
            case "logit":
                found = np.log(t / (1 - t))
        bent: Floats = found
        return bent
