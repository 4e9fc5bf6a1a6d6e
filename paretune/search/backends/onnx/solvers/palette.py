"""Palettes: one small table of values that all weights of a layer share."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from paretune.search.backends.onnx.solvers.clusters import cluster
from paretune.search.backends.onnx.solvers.problem import Matrix, Problem

Codes = NDArray[np.uint8]
Table = NDArray[np.float32]

_FLOOR = 1e-6
"""Importance of a dead input, relative to the mean input."""


@dataclass(frozen=True)
class PaletteGrid:
    """The values of a table (Deep Compression, arXiv:1510.00149).

    Attributes:
        table: ascending, shape (values,) with at most 256 values; equal ones may follow each other.
    """

    table: Table

    def nearest(self, weights: Matrix, start: int = 0) -> Matrix:
        """See `Grid`."""
        return self.table.astype(np.float64)[self.codes(weights)]

    def codes(self, found: Matrix) -> Codes:
        """Indices into the table, of the entry nearest to each of `found`; shape of `found`."""
        return np.searchsorted(self._between, found).astype(np.uint8)

    def refitted(self, problem: Problem, found: Matrix) -> "tuple[PaletteGrid, Matrix]":
        """See `refit_table`."""
        return refit_table(problem, self, found)

    @cached_property
    def _between(self) -> Matrix:
        wide = self.table.astype(np.float64)
        between: Matrix = (wide[1:] + wide[:-1]) / 2
        return between


def fit_palette(
    problem: Problem, bits: int, *, zero: bool = False, naive: bool = False
) -> PaletteGrid:
    """The 2^bits values that the weights are nearest to, by k-means.

    Each weight counts as much as E[x²] of its input (SqueezeLLM, arXiv:2306.07629), unless the
    plain means change the output less.

    Args:
        problem: the layer.
        bits: from 1 to 8.
        zero: 0 is one of the values, and weights that are 0 do not count for the others.
        naive: plain k-means.
    """
    plain = _palette(problem.weights, np.ones(problem.weights.shape), bits, zero)
    if naive:
        return plain
    floor = _FLOOR * problem.diagonal.mean() or 1.0
    importance = np.maximum(problem.diagonal, floor)[:, None]
    found = _palette(problem.weights, importance, bits, zero)
    return min(found, plain, key=lambda grid: problem.error(grid.nearest(problem.weights)))


def refit_table(
    problem: Problem, grid: PaletteGrid, found: Matrix, steps: int = 16
) -> tuple[PaletteGrid, Matrix]:
    """The table that changes the output least, each weight keeping its entry.

    Least squares in as many unknowns as the table has values, by conjugate gradients: one product
    with `problem.moment` a step. An entry that is 0 stays 0, so that zeros stay zeros.

    Args:
        problem: the layer.
        grid: the table.
        found: values of the table, shape (groups, rows, columns).
        steps: at most; as many as the table has values solve it to the end.

    Returns:
        The new table and the same weights in it; the error is never larger.
    """
    codes, table = grid.codes(found), grid.table.astype(np.float64)
    free = table != 0

    def gathered(change: Matrix) -> Matrix:
        """Of a change of the weights: half the slope of the error, for every entry."""
        slope = np.bincount(codes.reshape(-1), (change @ problem.moment).reshape(-1), table.size)
        return np.where(free, slope, 0.0)

    own = np.broadcast_to(problem.diagonal[:, None], codes.shape)
    scale = np.bincount(codes.reshape(-1), own.reshape(-1), table.size)
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    residual = gathered(problem.weights - found)
    direction = inverse * residual
    strength = first = residual @ direction
    for _ in range(steps):
        if strength <= 1e-12 * first:
            break
        bent = gathered(direction[codes])
        curve = direction @ bent
        if curve <= 0:
            break
        table += strength / curve * direction
        residual -= strength / curve * bent
        new = residual @ (inverse * residual)
        direction = inverse * residual + new / strength * direction
        strength = new
    narrow = table.astype(np.float32)
    moved: Matrix = narrow.astype(np.float64)[codes]
    if not problem.error(moved) < problem.error(found):
        return grid, found
    return PaletteGrid(np.sort(narrow)), moved


def _palette(weights: Matrix, importance: Matrix, bits: int, zero: bool) -> PaletteGrid:
    count = 2**bits
    counted = np.broadcast_to(importance, weights.shape)[weights != 0] if zero else importance
    values = weights[weights != 0] if zero else weights
    counted = np.broadcast_to(counted, values.shape)
    table = cluster(values.reshape(-1), counted.reshape(-1), count, zero=zero).astype(np.float32)
    # The last value again, where there are fewer.
    return PaletteGrid(np.pad(table, (0, count - len(table)), mode="edge"))
