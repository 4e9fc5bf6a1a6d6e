"""Selection: the order in which channels leave, by what each costs once the others are re-fitted.

Backward elimination with Optimal Brain Surgeon for groups of columns: without the columns j, and
with all others made up for it, the output's mean square changes by tr(W_j ([H⁻¹]_jj)⁻¹ W_jᵀ)
(Hassibi and Stork, NeurIPS 1992; for structures: Kurtic et al., ZipLM, arXiv:2302.04089).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretune.search.backends.onnx.solvers.problem import Matrix
from paretune.search.backends.onnx.solvers.refit import damped

Indices = NDArray[np.int64]

_BATCH = 32
"""Channels that leave between two updates of a large inverse."""


@dataclass(frozen=True)
class Reader:
    """A layer that reads the channels.

    Attributes:
        weights: shape (rows, columns).
        moment: E[x xᵀ], shape (columns, columns).
        columns: those of each channel, shape (channels, columns a channel); others always stay.
    """

    weights: Matrix
    moment: Matrix
    columns: Indices


def importance_order(readers: Sequence[Reader], count: int) -> Indices:
    """Channels, the one that leaves last first; of equals, the lower number stays longer.

    A removal costs a reader what its output's mean square changes by, as a share of that mean
    square; the costs of all readers add up.

    Args:
        readers: all that read the channels.
        count: number of channels.

    Returns:
        shape (count,).
    """
    states = [_State.of(reader) for reader in readers]
    left: Indices = np.arange(count)
    gone: list[int] = []
    while len(left):
        # Costs hardly ever fall when others leave, so those beyond `limit` can wait: the few below
        # it leave one by one, before the large matrices are touched.
        costs = _costs(states, len(left))
        nearest = _ascending(costs)
        limit = costs[nearest[2 * _BATCH]] if len(left) > 2 * _BATCH else np.inf
        few = np.sort(nearest[: 2 * _BATCH])
        most = _BATCH if np.isfinite(limit) else len(few)
        leaving = few[_eliminate([state.part(few) for state in states], len(few), most, limit)]
        gone += left[leaving].tolist()
        left = np.delete(left, leaving)
        states = [state.without(leaving) for state in states] if len(left) else []
    return np.array(gone[::-1], np.int64)


def _eliminate(states: list["_State"], count: int, most: int, limit: float) -> Indices:
    """Up to `most` of the channels in the order in which they leave, those dearer than `limit` not;
    at least one."""
    left = np.arange(count)
    gone: list[int] = []
    while len(gone) < most:
        costs = _costs(states, len(left))
        cheapest = _ascending(costs)[:1]
        if gone and costs[cheapest[0]] > limit:
            break
        gone += left[cheapest].tolist()
        left = np.delete(left, cheapest)
        states = [state.without(cheapest) for state in states]
    return np.array(gone, np.int64)


def _costs(states: list["_State"], count: int) -> Matrix:
    return sum((state.costs() for state in states), np.zeros(count))


def _ascending(costs: Matrix) -> Indices:
    """Of equals, the last first."""
    return len(costs) - 1 - np.argsort(costs[::-1], kind="stable")


@dataclass(frozen=True)
class _State:
    """A reader's columns, channel by channel, after some left and the others made up for it.

    Attributes:
        weights: re-fitted, as shares of the output's root mean square, shape (rows, columns).
        inverse: of the moment of all columns that are left, those of no channel included, shape
            (columns, columns).
        width: columns a channel.
    """

    weights: Matrix
    inverse: Matrix
    width: int

    @staticmethod
    def of(reader: Reader) -> "_State":
        size = np.einsum("rc,rc->", reader.weights @ reader.moment, reader.weights)
        scale = np.sqrt(size) if size > 0 else 1.0
        power = np.diag(reader.moment)
        weights = np.where(power > 0, reader.weights, 0.0)
        inverse = np.linalg.inv(damped(reader.moment[None], power[None])[0])
        columns = reader.columns.ravel()
        return _State(
            weights[:, columns] / scale,
            inverse[np.ix_(columns, columns)],
            reader.columns.shape[1],
        )

    def costs(self) -> Matrix:
        """What removing each channel costs, shape (channels,)."""
        count = len(self.inverse) // self.width
        each = np.arange(count)
        blocks = self.inverse.reshape(count, self.width, count, self.width)[each, :, each, :]
        own = self.weights.reshape(-1, count, self.width)
        products = np.einsum("rni,rnj->nij", own, own, optimize=True)
        costs: Matrix = np.einsum("nii->n", np.linalg.solve(blocks, products))
        return np.maximum(costs, 0.0)

    def part(self, channels: Indices) -> "_State":
        """Only these channels; the others stay, and keep making up for what leaves."""
        columns = self._columns(channels)
        inverse = self.inverse[np.ix_(columns, columns)]
        return _State(self.weights[:, columns], inverse, self.width)

    def without(self, channels: Indices) -> "_State":
        """After these channels left."""
        gone = self._columns(channels)
        rest = np.delete(np.arange(len(self.inverse)), gone)
        across = self.inverse[np.ix_(gone, rest)]
        share = np.linalg.solve(self.inverse[np.ix_(gone, gone)], across)
        weights = self.weights[:, rest] - self.weights[:, gone] @ share
        inverse = self.inverse[np.ix_(rest, rest)]
        inverse -= across.T @ share
        return _State(weights, inverse, self.width)

    def _columns(self, channels: Indices) -> Indices:
        found: Indices = (channels[:, None] * self.width + np.arange(self.width)).ravel()
        return found
