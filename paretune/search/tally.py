"""The tally of a running search: what is known, how fast it goes, how long it will take."""

import time
from collections import deque
from collections.abc import Callable, Sequence, Set

from paretune.evaluators import SplitName
from paretune.search.archive import Archive
from paretune.search.budget import Budget
from paretune.search.info import StudyInfo
from paretune.search.listener import Phase, Snapshot
from paretune.search.trial import Trial, TrialStatus
from paretune.spaces import Policy

WINDOW = 50
"""Trials that speeds and costs are averaged over."""

GRACE_S = 30.0
"""By so much a measurement may exceed its time, before it is given up."""


def duration(trial: Trial) -> float:
    """Seconds that a trial took."""
    return trial.duration


class Tally:
    """Counts the trials of a study, those of earlier runs included.

    Attributes:
        known: policy to its trial; what failed in an earlier run for a transient reason is not.
        archive: the front so far.
        measured: how many of the trials have figures.
    """

    def __init__(
        self,
        info: StudyInfo,
        space_size: int,
        budget: Budget,
        earlier: Sequence[Trial],
        test_seconds: Callable[[Trial], float] = duration,
    ) -> None:
        """Args:
        test_seconds: how long measuring a trial on the test split may take.
        """
        self.known: dict[Policy, Trial] = {}
        self.archive = Archive(info.objectives)
        self.measured = 0
        self._budget = budget
        self._space_size = space_size
        self._count = dict.fromkeys(TrialStatus, 0)
        self._costs: deque[float] = deque(maxlen=WINDOW)
        self._test_costs: deque[float] = deque(maxlen=WINDOW)
        self._test_guesses: deque[float] = deque(maxlen=WINDOW)
        self._test_seconds = test_seconds
        # Attempts may overlap; studies of earlier versions did one at a time, and noted no more.
        noted = max((trial.spent for trial in earlier), default=0.0)
        self._spent_before = noted or sum(trial.duration for trial in earlier)
        for trial in earlier:
            if not trial.transient:
                self._take(trial)
        self.archive.extend(earlier)
        self._confirmed: Set[int] = frozenset()
        self._tested: Set[int] = frozenset()
        self._begin = time.monotonic()
        self._ends: deque[float] = deque([self._begin], maxlen=WINDOW + 1)

    def add(self, trial: Trial) -> None:
        """Count a trial that was recorded just now."""
        self._take(trial)
        self.archive.extend([trial])
        self._ends.append(time.monotonic())

    def settle(self, trials: Sequence[Trial]) -> None:
        """Learn which trials are confirmed and tested already; a search goes on from here."""
        self._confirmed = {trial.number for trial in trials if trial.confirmed}
        self._tested = {trial.number for trial in trials if trial.test}
        self._ends = deque([time.monotonic()], maxlen=WINDOW + 1)

    def charge(self, seconds: float) -> None:
        """Count time that went into this run before there was a tally."""
        self._spent_before += seconds

    @property
    def seconds(self) -> float:
        """Wall time of this run, and of earlier ones up to their last trial."""
        return self._spent_before + time.monotonic() - self._begin

    @property
    def reserve(self) -> float:
        """Seconds that follow the search: each front member is measured again, once more on
        average where the order is undecided, and tested, unless it was; of both, one more may be as
        slow as the slowest yet."""
        members = self.archive.members
        again = sum(2 * one.duration for one in members if one.number not in self._confirmed)
        again += sum(self._test_seconds(one) for one in members if one.number not in self._tested)
        return again + _needed(1, self._costs) + _needed(1, self._tests)

    def fits(self, search: int = 0, test: int = 0) -> bool:
        """Whether so many measurements on the splits end before all the time is gone."""
        limit = self._budget.seconds
        needed = _needed(search, self._costs) + _needed(test, self._tests)
        return limit is None or self.seconds + needed <= limit

    def overdue(self, *, searching: bool) -> bool:
        """Whether what is under way has to be given up, so that the time budget holds.

        Args:
            searching: leave the reserve, but for one trial that is as slow as the slowest yet.
        """
        limit = self._budget.seconds
        if limit is None:
            return False
        if searching:
            return self.seconds + self.reserve > limit + max(GRACE_S, *self._costs)
        return self.seconds > limit + GRACE_S

    def took(self, split: SplitName, seconds: float) -> None:
        """Learn how long measuring a front member again took."""
        (self._test_costs if split == "test" else self._costs).append(seconds)

    def search_over(self, running: int = 0) -> str:
        """Why the search phase has to end now, or empty.

        Args:
            running: policies that are being measured.
        """
        trials = len(self.known) + running
        if trials >= self._space_size:
            return f"all {self._space_size} policies of the space are measured"
        # What is begun should also end before.
        seconds = self.seconds + _needed(1, self._costs)
        return self._budget.spent(trials, seconds, self.reserve)

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
    def _tests(self) -> Sequence[float]:
        """Seconds that measuring on the test split takes; before it was done, at most about."""
        return self._test_costs or self._test_guesses

    def _take(self, trial: Trial) -> None:
        self.known[trial.policy] = trial
        self._count[trial.status] += 1
        self.measured += bool(trial.measurements)
        # What is confirmed and tested is measured in full.
        if trial.status is TrialStatus.COMPLETE and not trial.partial:
            self._costs.append(trial.duration)
            self._test_guesses.append(self._test_seconds(trial))


def _mean(costs: Sequence[float]) -> float:
    return sum(costs) / len(costs) if costs else 0.0


def _needed(count: int, costs: Sequence[float]) -> float:
    """Seconds for so many measurements, one of which may be as slow as the slowest yet."""
    return max(costs, default=0.0) + (count - 1) * _mean(costs) if count else 0.0
