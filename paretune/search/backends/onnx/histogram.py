"""How often a tensor took which value, in bounded memory."""

import numpy as np

from paretune.search.backends.onnx.graph import Array

HALF = 2048
"""Bins on either side of 0."""

_SMALL = 1e-30
"""Values below count as 0; nothing can be told apart there in float32."""


class Histogram:
    """Counts in bins of one width, which doubles whenever a value does not fit.

    Attributes:
        counts: shape (2 * HALF,), of the values other than 0; the bins span [-limit, limit].
        limit: a value beyond makes the bins wider.
        zeros: number of values that are 0.
        low, high: of all values.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(2 * HALF, np.int64)
        self.limit = 0.0
        self.zeros = 0
        self.low = np.inf
        self.high = -np.inf

    def add(self, values: Array) -> None:
        """Count float32 values, at least one and all of them finite."""
        low, high = float(values.min()), float(values.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        farthest = max(-low, high)
        if farthest < _SMALL:
            self.zeros += values.size
            return
        self.limit = self.limit or farthest
        while farthest > self.limit:
            self._widen()
        index = (values.reshape(-1) * np.float32(HALF / self.limit) + HALF).astype(np.int32)
        # The uppermost bin holds its upper edge, too.
        counts = np.bincount(np.minimum(index, 2 * HALF - 1), minlength=2 * HALF)
        zeros = values.size - int(np.count_nonzero(values))
        counts[HALF] -= zeros
        self.counts += counts
        self.zeros += zeros

    @property
    def edges(self) -> Array:
        """Shape (2 * HALF + 1,), float64."""
        return np.linspace(-self.limit, self.limit, 2 * HALF + 1)

    def _widen(self) -> None:
        self.limit *= 2
        inner = slice(HALF // 2, HALF + HALF // 2)
        pairs = self.counts.reshape(-1, 2).sum(1)
        self.counts[:] = 0
        self.counts[inner] = pairs
