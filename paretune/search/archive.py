"""The archive: the front of a running search, kept up to date trial by trial."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from paretune.evaluators import Metric
from paretune.search.board import points
from paretune.search.front import front, hypervolume
from paretune.search.trial import Trial


class Archive:
    """The non-dominated trials so far. Its cost grows with the front, not with the study."""

    def __init__(self, objectives: tuple[Metric, ...]) -> None:
        self._objectives = objectives
        self._reference: NDArray[np.float64] | None = None
        self.members: list[Trial] = []
        self.hypervolume: float | None = None

    def set_reference(self, reference: tuple[float, ...]) -> None:
        """Fix the point up to which the hypervolume counts.

        Args:
            reference: a value an objective, turned so that less is better.
        """
        self._reference = np.array(reference)
        self._measure()

    def extend(self, trials: Sequence[Trial]) -> None:
        """Take in those trials that none dominates."""
        candidates = [trial for trial in trials if trial.feasible]
        if not candidates:
            return
        members = front([*self.members, *candidates], self._objectives)
        if members != self.members:
            self.members = members
            self._measure()

    def _measure(self) -> None:
        if self._reference is not None:
            self.hypervolume = hypervolume(self.members, self._objectives, self._reference)


def worst_point(trials: Sequence[Trial], objectives: tuple[Metric, ...]) -> tuple[float, ...]:
    """Per objective the worst value among complete trials, turned so that less is better.

    Args:
        trials: at least one of them complete.
    """
    measured = [trial for trial in trials if trial.measurements]
    return tuple(float(value) for value in points(measured, objectives).max(axis=0))
