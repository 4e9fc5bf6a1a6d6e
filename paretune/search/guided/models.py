"""The surrogates of all objectives and constraints, fitted again and again as trials come in."""

from dataclasses import dataclass

import moocore
import numpy as np

from paretune.search.guided.arrays import Indices
from paretune.search.guided.knowledge import Facts
from paretune.search.guided.structure import Structure
from paretune.search.guided.surrogate import Surrogate

MOST_TRIALS = 600
"""That a surrogate is made of: more would cost more than they tell near the front."""

_GROWTH = 1.3
"""A prior's shape is reconsidered whenever there is so much more to learn from; one at a time, so
that no proposal takes long."""


@dataclass(frozen=True)
class Models:
    """One surrogate for each objective and each constraint, in the order of `Facts`."""

    objectives: list[Surrogate]
    constraints: list[Surrogate]


class Fitter:
    """Fits surrogates, each beginning from what the last one had learned."""

    def __init__(self, structure: Structure) -> None:
        self._structure = structure
        self._before: list[Surrogate] = []
        self._chosen: list[int] = []

    def fit(self, facts: Facts) -> Models:
        """Surrogates of all that is known now; at least one trial has objectives."""
        kept = _kept(facts)
        told = [(kept, facts.y[kept, i]) for i in range(facts.y.shape[1])]
        for violations in facts.violations.T:
            known = np.flatnonzero(np.isfinite(violations))[-MOST_TRIALS:]
            told.append((known, violations[known]))
        # A constraint that is new may come before others.
        if len(told) != len(self._before):
            self._chosen = [0] * len(told)
        oldest = int(np.argmin(self._chosen))
        if len(facts.x) > _GROWTH * self._chosen[oldest]:
            again = {i for i, chosen in enumerate(self._chosen) if chosen == 0} or {oldest}
        else:
            again = set()
        fitted = []
        for i, (rows, values) in enumerate(told):
            before = None if i in again else self._before[i]
            fitted.append(Surrogate.fit(self._structure, facts.x[rows], values, before))
        for i in again:
            self._chosen[i] = len(facts.x)
        self._before = fitted
        return Models(fitted[: facts.y.shape[1]], fitted[facts.y.shape[1] :])


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
