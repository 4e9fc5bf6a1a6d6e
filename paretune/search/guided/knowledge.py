"""What finished and running trials tell, as arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from paretune.search.guided.arrays import Flags, Floats, Indices
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
    """

    def __init__(self, space: Mapping[str, BaseDistribution]) -> None:
        self.levels = {name: Levels.of(distribution) for name, distribution in space.items()}
        self.structure = Structure.of({n: level.values for n, level in self.levels.items()})
        self._read: dict[int, None] = {}
        self._x: list[list[int]] = []
        self._y: list[list[float]] = []
        self._violations: list[Mapping[str, float]] = []

    def facts(self, study: Study, apart: int) -> Facts:
        """Read what is new.

        Args:
            apart: number of the trial that is being sampled.
        """
        signs = [1.0 if d == StudyDirection.MINIMIZE else -1.0 for d in study.directions]
        running = []
        for trial in study.get_trials(deepcopy=False):
            if trial.number in self._read or trial.number == apart:
                continue
            row = self._row(trial)
            if row is None:
                continue
            if not trial.state.is_finished():
                running.append(row)
                continue
            self._read[trial.number] = None
            if trial.state == TrialState.FAIL:
                continue
            values = trial.values if trial.state == TrialState.COMPLETE else None
            # A trial that was pruned may have reported one value, which is none of its objectives.
            if values is None and not trial.constraints:
                continue
            self._x.append(row)
            self._y.append(
                [s * v for s, v in zip(signs, values, strict=True)]
                if values is not None
                else [np.nan] * len(signs)
            )
            self._violations.append(dict(trial.constraints or {}))
        return Facts(
            self.structure,
            np.array(self._x, dtype=np.int64).reshape(-1, len(self.levels)),
            np.array(self._y, dtype=float).reshape(-1, len(signs)),
            self._constraints(),
            np.array(running, dtype=np.int64).reshape(-1, len(self.levels)),
        )

    def _row(self, trial: FrozenTrial) -> list[int] | None:
        params = trial.params
        if any(name not in params for name in self.levels):
            return None
        return [levels.index(params[name]) for name, levels in self.levels.items()]

    def _constraints(self) -> Floats:
        names = sorted({name for known in self._violations for name in known})
        found = np.full((len(self._violations), len(names)), np.nan)
        for row, known in enumerate(self._violations):
            complete = np.isfinite(self._y[row]).all()
            for column, name in enumerate(names):
                # Who names a constraint for broken trials only, means that the others keep it.
                found[row, column] = known.get(name, -1.0 if complete else np.nan)
        return found


def distinct(rows: Sequence[Indices]) -> Indices:
    """Rows of several arrays, each once, in the order of their first appearance."""
    every = np.concatenate(rows)
    _, first = np.unique(every, axis=0, return_index=True)
    return every[np.sort(first)]
