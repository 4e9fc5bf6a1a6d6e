"""A chain of layers: latency and loss of any settings, and the exact front of all of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Far:
    """Two layers that are not neighbours cost more loss where both are treated harshly.

    Attributes:
        first, last: layers, the first one earlier.
        loss: added.
    """

    first: int
    last: int
    loss: float


@dataclass(frozen=True)
class Chain:
    """Sums along neighbours, and a few terms of layers that are far from each other.

    Attributes:
        steps: per layer, whole units of latency at least 0, shape (states before, states); the
            layer before the first one has one state.
        losses: per layer likewise.
        harsh: per layer, the states that count for `far`, shape (states,).
        far: their layers' ranges do not overlap.
    """

    steps: tuple[Ints, ...]
    losses: tuple[Floats, ...]
    harsh: tuple[NDArray[np.bool_], ...]
    far: tuple[Far, ...]

    def evaluate(self, states: Ints) -> tuple[int, float]:
        """Latency and loss.

        Args:
            states: shape (layers,).
        """
        before = np.concatenate([[0], states[:-1]])
        pairs = list(zip(before, states, strict=True))
        latency = sum(int(step[pair]) for step, pair in zip(self.steps, pairs, strict=True))
        loss = sum(float(one[pair]) for one, pair in zip(self.losses, pairs, strict=True))
        loss += sum(
            far.loss
            for far in self.far
            if self.harsh[far.first][states[far.first]] and self.harsh[far.last][states[far.last]]
        )
        return latency, loss

    def front(self, limit: int) -> tuple[Ints, Floats]:
        """The least loss at every latency that buys less loss than all below, both ascending.

        A dynamic program, exact: `best[h, s, t]` is the least loss of the layers so far with the
        last one in state s and a latency of exactly t; h tells, between the layers of a far term,
        whether its first was harsh.

        Args:
            limit: latencies above are left out.
        """
        opens = {far.first for far in self.far}
        closes = {far.last: far.loss for far in self.far}
        best = np.full((1, 1, limit + 1), np.inf)
        best[0, 0, 0] = 0
        for layer, (steps, losses) in enumerate(zip(self.steps, self.losses, strict=True)):
            best = _after(best, steps, losses)
            harsh = self.harsh[layer][:, None]
            if layer in closes:
                merged = np.where(harsh, best[1] + closes[layer], best[1])
                best = np.minimum(best[0], merged)[None]
            if layer in opens:
                calm = np.where(harsh, np.inf, best[0])
                best = np.stack([calm, np.where(harsh, best[0], np.inf)])
        least = best.min(axis=(0, 1))
        # Slower is worth it only where nothing faster loses as little.
        below = np.concatenate([[np.inf], np.minimum.accumulate(least)[:-1]])
        latencies = np.flatnonzero(least < below)
        return latencies, least[latencies]


def _after(best: Floats, steps: Ints, losses: Floats) -> Floats:
    """`best` one layer on."""
    flags, befores, size = best.shape
    after = np.full((flags, steps.shape[1], size), np.inf)
    for before in range(befores):
        for state in range(steps.shape[1]):
            step = steps[before, state]
            if step >= size:
                continue
            moved = best[:, before, : size - step] + losses[before, state]
            np.minimum(after[:, state, step:], moved, out=after[:, state, step:])
    return after
