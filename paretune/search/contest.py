"""A contest: who is on the fronts, and who may belong there, while figures change one by one."""

from collections.abc import Sequence
from itertools import chain

import numpy as np

from paretune.search.board import Board, Rows
from paretune.search.info import StudyInfo
from paretune.search.landmark import landmarks
from paretune.search.nearness import Nearness
from paretune.search.trial import Trial, TrialStatus
from paretune.search.view import front_devices, view


class Contest:
    """The fronts of a study that grows no more, but whose trials get better figures.

    A change costs what it changes, and a look at arrays: no step goes through all trials.
    """

    def __init__(self, info: StudyInfo, trials: Sequence[Trial]) -> None:
        self._info = info
        complete = [trial for trial in trials if trial.status is TrialStatus.COMPLETE]
        self._rows = {trial.number: row for row, trial in enumerate(complete)}
        self._trials = complete
        self._confirmed = np.array([bool(trial.confirmed) for trial in complete], dtype=bool)
        marks = [self._rows[trial.number] for trial in landmarks(trials).values()]
        self._landmarks: Rows = np.array(marks, dtype=np.intp)
        self._seen = {
            device: view(info, (), device or None)[0] for device in ("", *front_devices(info))
        }
        self._boards = {
            device: Board(
                complete, seen.objectives, set(map(str, seen.constraints)) if device else None
            )
            for device, seen in self._seen.items()
        }
        self._nearness: dict[str, Nearness] = {}

    @property
    def landmarks(self) -> list[Trial]:
        """What the fronts are compared with."""
        return [self._trials[row] for row in self._landmarks]

    @property
    def confirmed(self) -> int:
        """How many trials are confirmed."""
        return int(self._confirmed.sum())

    def update(self, trial: Trial) -> None:
        """Take over the new figures of a complete trial."""
        row = self._rows[trial.number]
        self._trials[row] = trial
        self._confirmed[row] = bool(trial.confirmed)
        for board in self._boards.values():
            board.update(row, trial)
        for nearness in self._nearness.values():
            nearness.update(row)

    def members(self) -> list[Trial]:
        """The members of all fronts, the whole study's first, and the landmarks on none.

        So are trials that would be members if what was measured on a part of the split were all.
        """
        fronts = [*self._fronts(), *self._fronts(partial=True), self._landmarks]
        return [self._trials[row] for row in dict.fromkeys(chain.from_iterable(fronts))]

    def overlooked(self) -> list[Trial]:
        """Unconfirmed trials that bad luck may have kept off a front, the closest first.

        Each front member that dominates one of them does so in some objective only within noise
        that another measurement would make less; likewise with the constraints that it violates.
        """
        closest = np.full(len(self._trials), np.inf)
        for (device, seen), members in zip(self._seen.items(), self._fronts(), strict=True):
            if device not in self._nearness:
                self._nearness[device] = Nearness(seen, self._boards[device])
            far = self._nearness[device](members)
            far[members] = np.inf
            np.minimum(closest, far, out=closest)
        closest[self._confirmed] = np.inf
        rows = np.flatnonzero(closest < 1)
        return [self._trials[row] for row in rows[np.argsort(closest[rows], kind="stable")]]

    def _fronts(self, *, partial: bool = False) -> list[Rows]:
        return [board.front(partial=partial) for board in self._boards.values()]
