"""The surrogates of all objectives and constraints, fitted again and again as trials come in."""

from dataclasses import dataclass

import moocore
import numpy as np

from paretune.search.guided.arrays import Floats, Indices
from paretune.search.guided.knowledge import Facts
from paretune.search.guided.structure import Structure
from paretune.search.guided.surrogate import Surrogate

MOST_TRIALS = 600
"""That a surrogate is made of: more would cost more than they tell near the front."""

_GROWTH = 1.2
"""The shape of a prior is reconsidered whenever there is so much to learn from, relatively."""


@dataclass(frozen=True)
class Models:
    """One surrogate for each objective and each constraint, in the order of `Facts`."""

    objectives: list[Surrogate]
    constraints: list[Surrogate]


class Fitter:
    """Fits surrogates, each beginning from what the last one had learned."""

    def __init__(self, structure: Structure) -> None:
        self._structure = structure
        self._before = Models([], [])
        self._fitted = 0

    def fit(self, facts: Facts) -> Models:
        """Surrogates of all that is known now; at least one trial has objectives."""
        if len(facts.x) > _GROWTH * self._fitted:
            self._before, self._fitted = Models([], []), len(facts.x)
        kept = _kept(facts)
        objectives = [
            self._surrogate(facts.x[kept], facts.y[kept, i], self._before.objectives[i : i + 1])
            for i in range(facts.y.shape[1])
        ]
        constraints = []
        for i in range(facts.violations.shape[1]):
            known = np.flatnonzero(np.isfinite(facts.violations[:, i]))[-MOST_TRIALS:]
            constraints.append(
                self._surrogate(
                    facts.x[known], facts.violations[known, i], self._before.constraints[i : i + 1]
                )
            )
        self._before = Models(objectives, constraints)
        return self._before

    def _surrogate(self, x: Indices, y: Floats, before: list[Surrogate]) -> Surrogate:
        return Surrogate.fit(self._structure, x, y, before[0] if before else None)


def _kept(facts: Facts) -> Indices:
    """The trials that surrogates are made of: the best, and an even share of the others."""
    known = np.flatnonzero(facts.measured)
    if len(known) <= MOST_TRIALS:
        return known
    broken = (facts.violations[known] > 0).any(axis=1)
    rank = moocore.pareto_rank(facts.y[known]) + np.where(broken, len(known), 0)
    order = known[np.lexsort((-known, rank))]
    half = MOST_TRIALS // 2
    rest = order[half:]
    some = rest[np.linspace(0, len(rest) - 1, MOST_TRIALS - half).astype(int)]
    return np.sort(np.concatenate([order[:half], some]))
