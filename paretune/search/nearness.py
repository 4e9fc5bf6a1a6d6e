"""How near trials come to a front that leaves them out: whether noise may be all that does."""

import numpy as np

from paretune.evaluators import Measurement
from paretune.evaluators.pooling import repeatable
from paretune.search.board import Board, Reals, Rows, Truths
from paretune.search.certainty import Spans, interval, pairing, spans
from paretune.search.constraint import Constraint
from paretune.search.info import StudyInfo
from paretune.search.trial import Trial


class Nearness:
    """Distances of trials to a front, in units of the noise that another measurement lessens.

    What a member of the front says about all others is kept until its figures change.
    """

    def __init__(self, info: StudyInfo, board: Board) -> None:
        """Args:
        info: of the study, or of its `view` from one device.
        board: its trials.
        """
        self._info = info
        self._board = board
        self._pairings = [pairing(metric, board.trials) for metric in info.objectives]
        self._spans, self._changeable, self._limits = self._read(board.trials)
        self._beyond: dict[int, Reals] = {}

    def update(self, row: int) -> None:
        """Take over a trial's new figures from the board."""
        found, changeable, limits = self._read([self._board.trials[row]])
        self._spans.value[row] = found.value[0]
        self._spans.centre[row] = found.centre[0]
        self._spans.low[row] = found.low[0]
        self._spans.high[row] = found.high[0]
        self._changeable[row] = changeable[0]
        self._limits[row] = limits[0]
        self._beyond.pop(row, None)

    def __call__(self, members: Rows) -> Reals:
        """Shape (trials,): 1 or more where a trial is surely not on the front.

        Each member that dominates it does so in some objective only within noise; likewise with
        the constraints that it violates.

        Args:
            members: rows of the front.
        """
        far = self._limits.copy()
        for row in members.tolist():
            if row not in self._beyond:
                self._beyond[row] = self._beyond_member(row)
            np.maximum(far, self._beyond[row], out=far)
        return far

    def _beyond_member(self, row: int) -> Reals:
        """Shape (trials,): what a trial lacks to get past a member, 0 where that is nothing.

        It gets past by what may change, in the objective where that takes least.
        """
        member = self._spans.rows(slice(row, row + 1))
        closeness = member.closeness(self._spans)[0]
        least = np.where(self._changeable, closeness, np.inf).min(axis=1)
        dominated = (member.value <= self._spans.value).all(axis=1)
        beyond: Reals = np.where(dominated, least, 0.0)
        return beyond

    def _read(self, trials: list[Trial]) -> tuple[Spans, Truths, Reals]:
        objectives, constraints = self._info.objectives, self._info.constraints
        changeable = [[_changeable(t.figures[m.name]) for m in objectives] for t in trials]
        limits = [max((_limit(c, trial) for c in constraints), default=0.0) for trial in trials]
        found = spans(trials, objectives, self._pairings)
        shape = len(trials), len(objectives)
        return found, np.array(changeable, dtype=bool).reshape(shape), np.array(limits)


def distance_to_bound(constraint: Constraint, trial: Trial) -> float:
    """How far a figure is from a bound, in units of its interval on that side."""
    measured = trial.figures[constraint.metric]
    gap = constraint.bound - measured.value
    low, high = interval(measured)
    noise = high - measured.value if gap > 0 else measured.value - low
    return abs(gap) / noise if noise > 0 else np.inf


def _limit(constraint: Constraint, trial: Trial) -> float:
    """The distance to the side of a bound where it holds."""
    if constraint.violation(trial.figures) <= 0:
        return 0.0
    if not _changeable(trial.figures[constraint.metric]):
        return np.inf
    return distance_to_bound(constraint, trial)


def _changeable(measured: Measurement) -> bool:
    """Whether measuring again, and on the whole split, can tell more."""
    return not repeatable(measured) or measured.partial
