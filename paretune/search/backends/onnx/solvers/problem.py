"""The problem that every solver solves: weights that change the layer's output least."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """A layer as y = W x, one independent product for every group.

    Attributes:
        weights: shape (groups, rows, columns); a row makes an output, a column meets an input.
        moment: E[x xᵀ], shape (groups, columns, columns), symmetric and finite; the identity where
            nothing is known of the inputs.
    """

    weights: Matrix
    moment: Matrix

    def error(self, found: Matrix) -> float:
        """Mean square of what the output changes by: tr((W−Ŵ) H (W−Ŵ)ᵀ), over all groups."""
        return float(self.errors(found).sum())

    def errors(self, found: Matrix) -> Matrix:
        """The same for every row, shape (groups, rows); never negative."""
        change = self.weights - found
        each: Matrix = np.einsum("grc,grc->gr", change @ self.moment, change)
        return np.maximum(each, 0.0)

    @cached_property
    def diagonal(self) -> Matrix:
        """E[x²] of every column, shape (groups, columns)."""
        found: Matrix = np.einsum("gcc->gc", self.moment)
        return np.maximum(found, 0.0)
