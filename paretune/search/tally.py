"""The tally of a running search: what is known, how fast it goes, how long it will take."""

import time
from collections import deque
from collections.abc import Sequence

from paretune.search.archive import Archive
from paretune.search.budget import Budget
from paretune.search.info import StudyInfo
from paretune.search.listener import Phase, Snapshot
from paretune.search.trial import Trial, TrialStatus
from paretune.spaces import Policy

WINDOW = 50
"""Trials that speeds and costs are averaged over."""


class Tally:
    """Counts the trials of a study, those of earlier runs included.

    Attributes:
        known: policy to its trial; what failed in an earlier run for a transient reason is not.
        archive: the front so far.
    """

    def __init__(
        self, info: StudyInfo, space_size: int, budget: Budget, earlier: Sequence[Trial]
    ) -> None:
        self.known: dict[Policy, Trial] = {}
        self.archive = Archive(info.objectives)
        self._budget = budget
        self._space_size = space_size
        self._count = dict.fromkeys(TrialStatus, 0)
        self._costs: deque[float] = deque(maxlen=WINDOW)
        self._spent_before = sum(trial.duration for trial in earlier)
        for trial in earlier:
            if not trial.transient:
                self._take(trial)
        self.archive.extend(earlier)
        self._begin = time.monotonic()
        self._ends: deque[float] = deque([self._begin], maxlen=WINDOW + 1)

    def add(self, trial: Trial) -> None:
        """Count a trial that was recorded just now."""
        self._take(trial)
        self.archive.extend([trial])
        self._ends.append(time.monotonic())

    @property
    def seconds(self) -> float:
        """Wall time of this run, and the trials' time of earlier ones."""
        return self._spent_before + time.monotonic() - self._begin

    @property
    def reserve(self) -> float:
        """Seconds that follow the search: each front member is measured again, once more on
        average where the order is undecided, and tested."""
        return 3 * self._cost * len(self.archive.members)

    def search_over(self) -> str:
        """Why the search phase has to end now, or empty."""
        if len(self.known) >= self._space_size:
            return f"all {self._space_size} policies of the space are measured"
        return self._budget.spent(len(self.known), self.seconds, self.reserve)

    def time_over(self, ahead: int = 0) -> bool:
        """Whether all the time is gone, that for confirming included.

        Args:
            ahead: measurements that have to follow.
        """
        limit = self._budget.seconds
        return limit is not None and self.seconds + ahead * self._cost >= limit

    def snapshot(self, phase: Phase, done: int = 0, total: int = 0) -> Snapshot:
        per_trial = None
        if len(self._ends) > 1:
            per_trial = (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1)
        trials = len(self.known)
        return Snapshot(
            phase=phase,
            trials=trials,
            infeasible=self._count[TrialStatus.INFEASIBLE],
            failed=self._count[TrialStatus.FAILED],
            trial_limit=self._budget.trials,
            space_size=self._space_size,
            front_size=len(self.archive.members),
            hypervolume=self.archive.hypervolume,
            trials_per_minute=60 / per_trial if per_trial else None,
            seconds_left=self._budget.seconds_left(trials, self.seconds, self.reserve, per_trial),
            done=done,
            total=total,
        )

    @property
    def _cost(self) -> float:
        """Seconds that a trial takes."""
        return sum(self._costs) / len(self._costs) if self._costs else 0.0

    def _take(self, trial: Trial) -> None:
        self.known[trial.policy] = trial
        self._count[trial.status] += 1
        # What is confirmed and tested is measured in full.
        if trial.status is TrialStatus.COMPLETE and not trial.partial:
            self._costs.append(trial.duration)
