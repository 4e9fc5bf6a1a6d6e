"""A board: the figures of complete trials as arrays, and the front that they make."""

from collections.abc import Container, Sequence

import moocore
import numpy as np
from numpy.typing import NDArray

from paretune.errors import UserError
from paretune.evaluators import Measurement, Metric
from paretune.evaluators.comparable import difference
from paretune.search.trial import Trial

Reals = NDArray[np.float64]
Rows = NDArray[np.intp]
Truths = NDArray[np.bool_]

AHEAD = 16
"""So many changes are foreseen: one look at all trials tells who can be on the front until then."""


class Board:
    """Complete trials, one a row. When one of them gets other figures, its row is all that changes.

    Attributes:
        trials: one a row.
        costs: their objectives, turned so that less is better, shape (trials, objectives).
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        objectives: Sequence[Metric],
        constraints: Container[str] | None = None,
    ) -> None:
        """Args:
        trials: complete ones; of those with equal figures the first stays on the front.
        constraints: those that count, as trials spell them; None for all.
        """
        count = len(trials)
        self.trials = list(trials)
        self.costs: Reals = np.empty((count, len(objectives)))
        self._objectives = objectives
        self._constraints = constraints
        self._feasible = np.empty(count, dtype=bool)
        self._partial = np.empty(count, dtype=bool)
        self._kinds = np.empty((count, len(objectives)), dtype=int)
        self._known: list[list[Measurement]] = [[] for _ in objectives]
        self._fronts: dict[bool, Rows] = {}
        self._pools: dict[bool, Truths] = {}
        self._changes = 0
        self._fill(slice(None), trials)

    def update(self, row: int, trial: Trial) -> None:
        """Take over a trial's new figures."""
        self.trials[row] = trial
        self._fill(slice(row, row + 1), [trial])
        self._fronts.clear()
        self._changes += 1
        if self._changes > AHEAD:
            self._changes = 1
            self._pools.clear()
        for pool in self._pools.values():
            pool[row] = True

    def front(self, *, partial: bool = False) -> Rows:
        """The rows of the front, best first objective first.

        Args:
            partial: also take trials that were measured on a part of the split only.

        Raises:
            UserError: an objective was not measured under the same conditions everywhere.
        """
        if partial not in self._fronts:
            rows = self._candidates(partial)
            if len(rows):
                self._require_comparable(rows)
                rows = rows[moocore.is_nondominated(self.costs[rows])]
            self._fronts[partial] = rows[np.lexsort(self.costs[rows].T[::-1])]
        return self._fronts[partial]

    def _candidates(self, partial: bool) -> Rows:
        """Rows that the front is among.

        Who is dominated in more layers than there are changes stays dominated.
        """
        taken = self._feasible if partial else self._feasible & ~self._partial
        rows = np.flatnonzero(taken)
        if not self._changes or not len(rows):
            return rows
        if partial not in self._pools:
            pool = np.zeros(len(taken), dtype=bool)
            pool[rows[moocore.pareto_rank(self.costs[rows]) <= AHEAD]] = True
            self._pools[partial] = pool
        return np.flatnonzero(taken & self._pools[partial])

    def _fill(self, rows: slice, trials: Sequence[Trial]) -> None:
        self.costs[rows] = points(trials, self._objectives)
        self._feasible[rows] = [self._is_feasible(trial) for trial in trials]
        self._partial[rows] = [trial.partial for trial in trials]
        for column, metric in enumerate(self._objectives):
            known = self._known[column]
            self._kinds[rows, column] = [_kind(known, t.figures[metric.name]) for t in trials]

    def _is_feasible(self, trial: Trial) -> bool:
        if self._constraints is None:
            return not trial.violations
        return not any(broken in self._constraints for broken in trial.violations)

    def _require_comparable(self, rows: Rows) -> None:
        odd = self._kinds[rows] != self._kinds[rows[0]]
        if odd.any():
            column = int(odd.any(axis=0).argmax())
            name = self._objectives[column].name
            first, other = (self.trials[rows[i]] for i in (0, int(odd[:, column].argmax())))
            how = difference(first.figures[name], other.figures[name])
            raise UserError(
                f"trials {first.number} and {other.number} cannot be compared, as they were"
                f" measured under different conditions: {name}: {how}"
            )


def points(trials: Sequence[Trial], objectives: Sequence[Metric]) -> Reals:
    """The trials' figures with every objective turned so that less is better.

    Returns:
        shape (trials, objectives).
    """
    sign = np.array([1.0 if metric.direction == "minimize" else -1.0 for metric in objectives])
    rows = [[trial.figures[metric.name].value for metric in objectives] for trial in trials]
    costs: Reals = np.array(rows).reshape(len(trials), len(objectives)) * sign
    return costs


def _kind(known: list[Measurement], measured: Measurement) -> int:
    """The first of `known` that it may be compared with; it is added if there is none."""
    for kind, one in enumerate(known):
        if not difference(one, measured):
            return kind
    known.append(measured)
    return len(known) - 1
