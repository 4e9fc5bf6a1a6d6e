"""Patterns of zeros: which weights of a layer stay, given the damage that zeroing each would do."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from paretune.search.backends.onnx.solvers.problem import Matrix

Mask = NDArray[np.bool_]

# Columns that an unstructured mask is decided for at a time (SparseGPT, arXiv:2301.00774).
_WIDTH = 128


class Pattern(Protocol):
    """What a sweep must know of a pattern of zeros."""

    def keep(self, scores: Matrix) -> Mask:
        """Which weights of the layer stay.

        Args:
            scores: damage of zeroing each weight, shape (groups, rows, columns). Of equal ones the
                same weights fall every time.
        """
        ...

    def windows(self, columns: int) -> list[slice]:
        """Neighbouring columns that are decided together; they cover all columns, in order."""
        ...

    def again(self, scores: Matrix, kept: Mask) -> Mask:
        """`keep` once more for one window, with as many zeros as `kept` has there.

        Args:
            scores: of the columns of the window, shape (groups, rows, width).
            kept: what `keep` said of the window.
        """
        ...


@dataclass(frozen=True)
class UnstructuredPattern:
    """Zeros anywhere: floor(amount · size) of them in the layer."""

    amount: float

    def keep(self, scores: Matrix) -> Mask:
        return _without_lowest(scores, share(self.amount, scores.size))

    def windows(self, columns: int) -> list[slice]:
        return cut(columns, _WIDTH)

    def again(self, scores: Matrix, kept: Mask) -> Mask:
        return _without_lowest(scores, int(kept.size - kept.sum()))


@dataclass(frozen=True)
class NMPattern:
    """At most `n` of every `m` neighbouring inputs stay, at each kernel position.

    Attributes:
        n: weights that stay.
        m: of so many; the last inputs, fewer than `m`, keep `n` of them at most.
        inputs: input channels; column = position · inputs + input.
    """

    n: int
    m: int
    inputs: int

    def keep(self, scores: Matrix) -> Mask:
        kept = np.ones(scores.shape, bool)
        split = scores.reshape(*scores.shape[:-1], -1, self.inputs)
        into = kept.reshape(split.shape)
        full = self.inputs // self.m * self.m
        whole = split[..., :full].reshape(*split.shape[:-1], -1, self.m)
        into[..., :full] = _highest(whole, self.n).reshape(*split.shape[:-1], full)
        into[..., full:] = _highest(split[..., full:], self.n)
        return kept

    def windows(self, columns: int) -> list[slice]:
        return cut(columns, self.m, self.inputs)

    def again(self, scores: Matrix, kept: Mask) -> Mask:
        return _highest(scores, self.n)


@dataclass(frozen=True)
class BlockPattern:
    """Blocks of neighbouring inputs of one row, removed whole: floor(amount · blocks) of them.

    Attributes:
        amount: share of the blocks.
        width: inputs of a block, at one kernel position; the last of a position may be narrower.
        inputs: input channels; column = position · inputs + input.
    """

    amount: float
    width: int
    inputs: int

    def keep(self, scores: Matrix) -> Mask:
        blocks = cut(scores.shape[-1], self.width, self.inputs)
        starts = [b.start for b in blocks]
        sums = np.add.reduceat(scores, starts, axis=-1)
        kept = _without_lowest(sums, share(self.amount, sums.size))
        return np.repeat(kept, [b.stop - b.start for b in blocks], axis=-1)

    def windows(self, columns: int) -> list[slice]:
        return cut(columns, self.width, self.inputs)

    def again(self, scores: Matrix, kept: Mask) -> Mask:
        blocks = _without_lowest(scores.sum(axis=-1), int(kept[..., 0].size - kept[..., 0].sum()))
        return np.repeat(blocks[..., None], scores.shape[-1], axis=-1)


def share(amount: float, size: int) -> int:
    """How many of `size` are zero at `amount`; 0.3 of 10 is 3, whatever its binary digits."""
    return int(np.floor(amount * size + 1e-9))


def cut(columns: int, width: int, inputs: int | None = None) -> list[slice]:
    """Slices of `width` columns; none crosses from one kernel position to the next."""
    inputs = inputs or columns
    return [
        slice(start, min(start + width, position + inputs))
        for position in range(0, columns, inputs)
        for start in range(position, position + inputs, width)
    ]


def _without_lowest(scores: Matrix, count: int) -> Mask:
    kept = np.ones(scores.size, bool)
    # Stable, so that equal scores fall alike everywhere: same policy, same bytes.
    kept[np.argsort(scores, axis=None, kind="stable")[:count]] = False
    return kept.reshape(scores.shape)


def _highest(scores: Matrix, count: int) -> Mask:
    order = np.argsort(-scores, axis=-1, kind="stable")
    kept = np.zeros(scores.shape, bool)
    np.put_along_axis(kept, order[..., :count], True, axis=-1)
    return kept
