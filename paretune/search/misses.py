"""Which constraints keep all trials off the front, and how near the best trials come."""

from collections.abc import Sequence

from paretune.search.constraint import Constraint
from paretune.search.info import StudyInfo
from paretune.search.trial import Trial


def misses(info: StudyInfo, trials: Sequence[Trial]) -> str:
    """A line for each constraint: how many trials satisfy it, or which comes nearest.

    Trials that the search gave up count with the figures that they had by then.
    """
    return "\n".join(_miss(constraint, trials) for constraint in info.constraints)


def _miss(constraint: Constraint, trials: Sequence[Trial]) -> str:
    measured = [trial for trial in trials if constraint.metric in trial.figures]
    satisfied = sum(constraint.violation(trial.figures) <= 0 for trial in measured)
    if satisfied or not measured:
        return f"  {constraint}: satisfied by {satisfied} of {len(measured)} trials"
    nearest = min(measured, key=lambda trial: constraint.violation(trial.figures))
    value = nearest.figures[constraint.metric].value
    return f"  {constraint}: the nearest is trial {nearest.number} with {value:.4g}"
