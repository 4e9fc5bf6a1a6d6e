"""Grids of levels times a scale: uniform integers, and a few chosen levels."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretune.search.backends.onnx.solvers.problem import Matrix

Integers = NDArray[np.int64]
Scale = NDArray[np.float32]


@dataclass(frozen=True)
class ScaledGrid(ABC):
    """Levels times one scale for every (group, row, block of columns).

    Attributes:
        scale: float32 as it will be stored, shape (groups, rows, blocks); never 0, may be negative.
        block_of: block of each column, shape (columns,). All 0: per channel. Blocks need not be
            neighbours.
    """

    scale: Scale
    block_of: Integers

    def nearest(self, weights: Matrix, start: int = 0) -> Matrix:
        """See `Grid`."""
        scale = self._wide(self.block_of[start : start + weights.shape[-1]])
        found: Matrix = self.level(weights / scale) * scale
        return found

    def scales(self) -> Matrix:
        """The scale of every column, shape (groups, rows, columns)."""
        return self._wide(self.block_of)

    @abstractmethod
    def codes(self, found: Matrix) -> Integers:
        """The integers that stand for values of this grid.

        Args:
            found: all columns, shape (groups, rows, columns).
        """

    @abstractmethod
    def level(self, ratio: Matrix) -> Matrix:
        """The levels nearest to weights over their scale, shape of `ratio`."""

    def _wide(self, blocks: Integers) -> Matrix:
        found: Matrix = self.scale[..., blocks].astype(np.float64)
        return found


@dataclass(frozen=True)
class UniformGrid(ScaledGrid):
    """`scale * integer`, from `low` to `high`."""

    low: int
    high: int

    def codes(self, found: Matrix) -> Integers:
        """The integers themselves."""
        return self.level(found / self.scales()).astype(np.int64)

    def level(self, ratio: Matrix) -> Matrix:
        """See `ScaledGrid`."""
        # Narrowed, the quotient of two float32 is the one that ONNX Runtime's quantizer rounds.
        narrow = np.clip(ratio, self.low, self.high).astype(np.float32)
        return np.rint(narrow).astype(np.float64)


@dataclass(frozen=True)
class LevelGrid(ScaledGrid):
    """`scale * levels[code]`, such as ternary {-1, 0, 1} and binary {-1, 1}.

    Attributes:
        levels: ascending, shape (levels,).
    """

    levels: Matrix

    def codes(self, found: Matrix) -> Integers:
        """Indices into `levels`."""
        return self._index(found / self.scales())

    def level(self, ratio: Matrix) -> Matrix:
        """See `ScaledGrid`."""
        found: Matrix = self.levels[self._index(ratio)]
        return found

    def _index(self, ratio: Matrix) -> Integers:
        between = (self.levels[1:] + self.levels[:-1]) / 2
        found: Integers = np.searchsorted(between, ratio)
        return found
