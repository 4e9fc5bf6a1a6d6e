"""Activations as integers: how a range of values maps onto the integers of a type."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from paretune.search.backends.onnx.graph import Array

_TINY = np.finfo(np.float32).tiny

_TYPES: dict[tuple[int, bool], np.dtype[Any]] = {
    (8, False): np.dtype(np.uint8),
    (8, True): np.dtype(np.int8),
    (16, False): np.dtype(np.uint16),
    (16, True): np.dtype(np.int16),
}


@dataclass(frozen=True)
class Activations:
    """The integers that stand for the values between two int8 nodes.

    Attributes:
        bits: of one integer.
        symmetric: signed, with zero point 0; else unsigned, with a zero point that makes full use
            of the integers.
    """

    bits: Literal[8, 16] = 8
    symmetric: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        return _TYPES[self.bits, self.symmetric]

    @property
    def lowest(self) -> int:
        """The lowest integer in use; a symmetric type leaves its very lowest out."""
        return -self.highest if self.symmetric else 0

    @property
    def highest(self) -> int:
        return int(np.iinfo(self.dtype).max)

    def parameters(self, low: float, high: float) -> tuple[Array, Array]:
        """Scale and zero point that map [low, high], widened to hold 0, onto the integers.

        Returns:
            float32 scale and zero point of type `dtype`, both of shape ().
        """
        low, high = min(low, 0.0), max(high, 0.0)
        if self.symmetric:
            low, high = min(low, -high), max(high, -low)
        # In float64: the width of a range may not fit into float32.
        first, last = np.float64(np.float32(low)), np.float64(np.float32(high))
        scale = (last - first) / (self.highest - self.lowest)
        if scale < _TINY:
            return np.array(1.0, np.float32), np.array(0, self.dtype)
        zero_point = 0 if self.symmetric else np.round(0 - first / scale)
        return np.array(scale, np.float32), np.array(zero_point, self.dtype)

    def quantized(self, values: Array, scale: Array, zero_point: Array) -> Array:
        """The nearest integers, of type `dtype`, in the shape of `values`."""
        nearest = np.round(values / scale) + zero_point.astype(np.float32)
        return np.clip(nearest, self.lowest, self.highest).astype(self.dtype)
