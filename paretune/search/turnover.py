"""How many members the front lost and gained on its way from the search to the test split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from paretune.evaluators import Measurement
from paretune.search.front import front
from paretune.search.info import StudyInfo
from paretune.search.trial import Trial, TrialStatus

Numbers = frozenset[int]


@dataclass(frozen=True)
class Turnover:
    """The front by three kinds of figures, as trials' numbers.

    Attributes:
        searched: by the figures that the search saw.
        confirmed: by the best ones, confirmed where there are such.
        unconfirmed: members of it that were not measured again.
        tested: by the test figures, of the trials that have such.
        untested: confirmed members without test figures.
    """

    searched: Numbers
    confirmed: Numbers
    unconfirmed: Numbers
    tested: Numbers
    untested: Numbers

    def __str__(self) -> str:
        """In one or two sentences; empty before anything was confirmed."""
        if not self.confirmed - self.unconfirmed:
            return ""
        lost, gained = len(self.searched - self.confirmed), len(self.confirmed - self.searched)
        parts = [
            f"Front: {len(self.searched)} as searched; confirming lost {lost} of them and gained"
            f" {gained}, which makes {len(self.confirmed)}."
        ]
        if known := self.confirmed - self.untested:
            lost, gained = len(known - self.tested), len(self.tested - self.confirmed)
            parts.append(f"On the test split {lost} of {len(known)} are lost and {gained} gained.")
        return " ".join(parts)


def turnover(info: StudyInfo, trials: Sequence[Trial]) -> Turnover:
    """Compare the fronts of the search, of the confirmed figures and of the test split.

    The test front is among the trials that were tested: the members and the landmarks.

    Args:
        info, trials: of the study, or of its `view` from one device.
    """
    complete = [trial for trial in trials if trial.status is TrialStatus.COMPLETE]
    searched = [_by(info, trial, trial.measurements) for trial in complete]
    tested = [_by(info, trial, trial.test) for trial in trials if trial.test]
    members = front(trials, info.objectives)
    return Turnover(
        searched=_numbers(front(searched, info.objectives)),
        confirmed=_numbers(members),
        unconfirmed=_numbers([member for member in members if not member.confirmed]),
        tested=_numbers(front(tested, info.objectives)),
        untested=_numbers([member for member in members if not member.test]),
    )


def _by(info: StudyInfo, trial: Trial, figures: Mapping[str, Measurement]) -> Trial:
    """The trial as if these were its figures."""
    violations = tuple(str(c) for c in info.constraints if c.violation(figures) > 0)
    if not trial.confirmed and figures is trial.measurements and violations == trial.violations:
        return trial
    return replace(trial, measurements=figures, confirmed={}, test={}, violations=violations)


def _numbers(trials: Sequence[Trial]) -> Numbers:
    return frozenset(trial.number for trial in trials)
