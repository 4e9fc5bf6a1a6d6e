"""What finished and running trials tell, as arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from paretune.search.guided.arrays import Flags, Floats, Indices
from paretune.search.guided.clue import Clues
from paretune.search.guided.levels import Levels
from paretune.search.guided.structure import Structure


@dataclass(frozen=True)
class Facts:
    """All that is known at one moment.

    Attributes:
        structure: of the search space.
        x: option indices of finished trials, shape (trials, knobs).
        y: objectives, less is better, shape (trials, objectives); NaN where there are none.
        violations: of constraints, positive where broken, shape (trials, constraints); NaN where
            unknown.
        running: option indices of trials without a result, shape (running, knobs).
    """

    structure: Structure
    x: Indices
    y: Floats
    violations: Floats
    running: Indices

    @property
    def measured(self) -> Flags:
        """Which trials have objectives."""
        found: Flags = np.all(np.isfinite(self.y), axis=1)
        return found

    @property
    def feasible(self) -> Flags:
        """Which of them break no constraint."""
        broken: Flags = np.any(self.violations > 0, axis=1)
        found: Flags = self.measured & ~broken
        return found


class Knowledge:
    """Reads each trial of a study once.

    Args:
        space: the search space, knobs in the order of the network.
        clues: as `GuidedSampler` is given them.
    """

    def __init__(self, space: Mapping[str, BaseDistribution], clues: Clues | None = None) -> None:
        self.levels = {name: Levels.of(distribution) for name, distribution in space.items()}
        self.structure = Structure.of(
            {name: level.values for name, level in self.levels.items()}, clues
        )
        self._read: set[int] = set()
        self._begin = 0
        self._x: Indices = np.empty((0, len(self.levels)), dtype=np.int64)
        self._y: Floats | None = None
        self._told: list[Mapping[str, float]] = []
        self._constraints: list[str] = []
        self._violations: Floats = np.empty((0, 0))

    def facts(self, study: Study, apart: int) -> Facts:
        """Read what is new.

        Args:
            apart: number of the trial that is being sampled.
        """
        signs = [1.0 if d == StudyDirection.MINIMIZE else -1.0 for d in study.directions]
        told: list[Mapping[str, float]] = []
        x, y, running = [], [], []
        for trial in self._unread(study):
            if trial.number == apart:
                continue
            row = self._row(trial)
            if not trial.state.is_finished():
                if row is not None:
                    running.append(row)
                continue
            self._read.add(trial.number)
            if row is None or trial.state == TrialState.FAIL:
                continue
            values = trial.values if trial.state == TrialState.COMPLETE else None
            # A trial that was pruned may have reported one value, which is none of its objectives.
            if values is None and not trial.constraints:
                continue
            x.append(row)
            y.append(
                [s * v for s, v in zip(signs, values, strict=True)]
                if values is not None
                else [np.nan] * len(signs)
            )
            told.append(dict(trial.constraints or {}))
        if self._y is None:
            self._y = np.empty((0, len(signs)))
        if x:
            self._x = np.concatenate([self._x, np.array(x, dtype=np.int64)])
            self._y = np.concatenate([self._y, np.array(y, dtype=float)])
            self._learn_violations(told)
        return Facts(
            self.structure,
            self._x,
            self._y,
            self._violations,
            np.array(running, dtype=np.int64).reshape(-1, len(self.levels)),
        )

    def _unread(self, study: Study) -> list[FrozenTrial]:
        trials = study.get_trials(deepcopy=False)
        while self._begin < len(trials) and self._begin in self._read:
            self._begin += 1
        return [one for one in trials[self._begin :] if one.number not in self._read]

    def _row(self, trial: FrozenTrial) -> list[int] | None:
        params = trial.params
        if any(name not in params for name in self.levels):
            return None
        return [levels.index(params[name]) for name, levels in self.levels.items()]

    def _learn_violations(self, told: list[Mapping[str, float]]) -> None:
        """Add what the latest trials tell; a constraint that is new is missing in all others."""
        assert self._y is not None
        self._told += told
        names = {name for known in told for name in known}
        if not names.issubset(self._constraints):
            self._constraints = sorted(names.union(self._constraints))
            self._violations = np.empty((0, len(self._constraints)))
        begin = len(self._violations)
        found = np.full((len(self._told) - begin, len(self._constraints)), np.nan)
        complete = np.isfinite(self._y[begin:]).all(axis=1)
        # Who names a constraint for broken trials only, means that the others keep it.
        found[complete] = -1.0
        for row, known in enumerate(self._told[begin:]):
            for column, name in enumerate(self._constraints):
                if name in known:
                    found[row, column] = known[name]
        self._violations = np.concatenate([self._violations, found])


def distinct(rows: Sequence[Indices]) -> Indices:
    """Rows of several arrays, each once, in the order of their first appearance."""
    every = np.concatenate(rows)
    _, first = np.unique(every, axis=0, return_index=True)
    return every[np.sort(first)]
