"""Contrasts: what turning one knob, or two, changes, from a surrogate's joint posterior."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from paretune.search.explaining.decisions import Design
from paretune.search.explaining.effect import Effect, Estimate, effects
from paretune.search.guided.structure import Structure
from paretune.search.guided.surrogate import Surrogate

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

Option = tuple[int, int]
"""A knob and the index of one of its options."""

Pair = tuple[Option, Option]


class Contrasts:
    """Changes of policies, averaged over some of them.

    Attributes:
        options: every option but the knobs' first.
        pairs: of such options, of knobs that are neighbours.
    """

    def __init__(self, design: Design, structure: Structure, bases: Indices) -> None:
        """Args:
        bases: option indices of the policies to average over, shape (policies, knobs).
        """
        self._decisions = design.decisions
        self._sizes = structure.sizes
        self._bases = bases
        self._knob_pairs = [
            (a, b)
            for a, b in structure.pairs
            if not self._decisions[a].excludes(self._decisions[b])
        ]

    @cached_property
    def options(self) -> list[Option]:
        return [(knob, o) for knob, size in enumerate(self._sizes) for o in range(1, size)]

    @cached_property
    def pairs(self) -> list[Pair]:
        return [
            ((a, i), (b, j))
            for a, b in self._knob_pairs
            for i, j in product(range(1, self._sizes[a]), range(1, self._sizes[b]))
        ]

    def singles(
        self, surrogate: Surrogate, sign: float, widening: float
    ) -> Mapping[Option, Effect]:
        """What each option changes, against the first of its knob.

        Args:
            surrogate: of costs.
            sign: 1 where the metric is to be minimized, -1 where it is to be maximized.
            widening: factor of the surrogate's deviations.
        """
        found: list[Estimate] = []
        for knob, size in enumerate(self._sizes):
            weights = np.concatenate([-np.ones((size - 1, 1)), np.eye(size - 1)], axis=1)
            cells = [{knob: option} for option in range(size)]
            found += self._estimates(surrogate, cells, weights)
        return dict(zip(self.options, effects(found, sign, widening), strict=True))

    def interactions(
        self, surrogate: Surrogate, sign: float, widening: float
    ) -> Mapping[Pair, Effect]:
        """f(both) - f(first) - f(second) + f(neither) of each pair; arguments as above."""
        found: list[Estimate] = []
        for a, b in self._knob_pairs:
            sizes = self._sizes[a], self._sizes[b]
            cells = [{a: i, b: j} for i, j in product(*map(range, sizes))]
            away = [np.concatenate([-np.ones((n - 1, 1)), np.eye(n - 1)], axis=1) for n in sizes]
            found += self._estimates(surrogate, cells, np.kron(*away))
        return dict(zip(self.pairs, effects(found, sign, widening), strict=True))

    def _estimates(
        self, surrogate: Surrogate, cells: Sequence[Mapping[int, int]], weights: Floats
    ) -> list[Estimate]:
        """Args:
        cells: what knobs are set to in each.
        weights: of the averages over the policies of each cell, shape (contrasts, cells).
        """
        start = self._cleared(cells[0])
        rows = np.repeat(start[None], len(cells), axis=0)
        for row, cell in zip(rows, cells, strict=True):
            for knob, option in cell.items():
                row[:, knob] = option
        mean, covariance = surrogate.posterior(rows.reshape(-1, rows.shape[-1]))
        count = len(start)
        averages = mean.reshape(-1, count).mean(axis=1)
        joint = covariance.reshape(len(cells), count, len(cells), count).mean(axis=(1, 3))
        variances = np.einsum("ij,jk,ik->i", weights, joint, weights)
        # Rounding leaves next to nothing, or less, where everything cancels.
        least = 1e-14 * float(np.diag(joint).max()) + 1e-300
        deviations = np.sqrt(np.maximum(variances, least))
        return [
            Estimate(float(m), float(d))
            for m, d in zip(weights @ averages, deviations, strict=True)
        ]

    def _cleared(self, turned: Mapping[int, int]) -> Indices:
        """The policies without what would leave the turned knobs nothing to say."""
        rows = self._bases.copy()
        for knob in turned:
            for other, decision in enumerate(self._decisions):
                if decision.excludes(self._decisions[knob]):
                    rows[:, other] = 0
        return rows
