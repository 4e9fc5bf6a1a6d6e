"""What is worth measuring again: where noise, and nothing else, hides the order of trials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from paretune.evaluators import Measurement, Metric
from paretune.evaluators.pooling import repeatable, rounds
from paretune.search.certainty import Reals, Spans, Truths, interval, spans
from paretune.search.constraint import Constraint
from paretune.search.info import StudyInfo
from paretune.search.trial import Trial, TrialStatus
from paretune.search.view import front_devices, fronts, view

MOST_ROUNDS = 4
"""No trial is measured more often: the interval is half as wide then, and what is closer is a tie
for all that it matters."""


@dataclass(frozen=True)
class Doubt:
    """A trial whose order to another, or to a constraint's bound, is undecided.

    Attributes:
        trial: to be measured again.
        metrics: names of those that decide, and of what comes with them.
        closeness: from 0, the noise hides all, to 1, it hides nothing.
    """

    trial: Trial
    metrics: frozenset[str]
    closeness: float


def undecided(info: StudyInfo, compared: Sequence[Trial]) -> list[Doubt]:
    """Which of the trials to measure once more.

    Those that were measured least often come first, so that a true tie does not take all the time;
    of them the most undecided ones. Of two trials that are too close it is the one with the wider
    interval.

    Args:
        compared: confirmed trials, in whose order somebody is interested.
    """
    doubts: dict[tuple[int, str], Doubt] = {}

    def add(trial: Trial, metric: Metric, closeness: float) -> None:
        key = (trial.number, metric.device)
        if key not in doubts or closeness < doubts[key].closeness:
            doubts[key] = Doubt(trial, _fresh(info, trial, metric.device), closeness)

    if compared:
        found = spans(compared, info.objectives)
        width = found.high - found.low
        for i, j, k in zip(*np.nonzero(_open(found)), strict=True):
            metric = info.objectives[k]
            for row in (i, j) if width[i, k] >= width[j, k] else (j, i):
                if _may_measure(compared[row], metric):
                    add(compared[row], metric, float(found.closeness(found)[i, j, k]))
                    break
    metrics = {metric.name: metric for metric in info.metrics}
    for trial in compared:
        for constraint in info.constraints:
            metric = metrics[constraint.metric]
            if (near := _bound(constraint, trial.figures)) < 1 and _may_measure(trial, metric):
                add(trial, metric, near)
    return sorted(
        doubts.values(), key=lambda d: (_taken(d.trial, d.metrics), d.closeness, d.trial.number)
    )


def overlooked(info: StudyInfo, trials: Sequence[Trial]) -> list[Trial]:
    """Unconfirmed trials that bad luck may have kept off a front, the closest first.

    Each front member that dominates one of them does so in some objective only within noise that
    another measurement would make less; likewise with the constraints that it violates.
    """
    closest: dict[int, tuple[float, Trial]] = {}
    members = fronts(info, trials)
    for device in ("", *front_devices(info)):
        seen, those = view(info, trials, device or None)
        on_front = members[device]
        outside = [
            trial
            for trial in those
            if trial.status is TrialStatus.COMPLETE
            and not trial.confirmed
            and trial.number not in {member.number for member in on_front}
        ]
        for trial, far in zip(outside, _distances(seen, on_front, outside), strict=True):
            if far < min(1.0, closest.get(trial.number, (1.0,))[0]):
                closest[trial.number] = (float(far), trial)
    return [trial for _, trial in sorted(closest.values(), key=lambda c: (c[0], c[1].number))]


def _open(found: Spans) -> Truths:
    """Shape (trials, trials, objectives): pairs, each once, and where they are too close.

    Left out are pairs whose relation is known, whatever comes of the objectives in doubt.
    """
    sure = found.surely_better(found)
    less, more = sure.any(axis=2), sure.any(axis=2).T
    no_worse = (found.value[:, None] <= found.value[None]).all(axis=2)
    settled = (less & more) | (less & no_worse) | (more & no_worse.T)
    pairs = np.triu(~settled, k=1)
    truths: Truths = pairs[:, :, None] & (found.closeness(found) < 1)
    return truths


def _distances(info: StudyInfo, members: Sequence[Trial], outside: Sequence[Trial]) -> Reals:
    """Shape (outside,): closeness to the front; 1 or more where it is surely not on it."""
    far: Reals = np.zeros(len(outside))
    if members and outside:
        both = spans([*members, *outside], info.objectives)
        theirs, mine = both.rows(slice(len(members))), both.rows(slice(len(members), None))
        changeable = np.array(
            [[_changeable(trial.figures[m.name]) for m in info.objectives] for trial in outside]
        )
        # It gets past a member by what may change, in the objective where that takes least.
        close = np.where(changeable[None], theirs.closeness(mine), np.inf).min(axis=2)
        dominated = (theirs.value[:, None] <= mine.value[None]).all(axis=2)
        far = np.where(dominated, close, 0.0).max(axis=0)
    for row, trial in enumerate(outside):
        for constraint in info.constraints:
            if constraint.violation(trial.figures) > 0:
                may = _changeable(trial.figures[constraint.metric])
                far[row] = max(far[row], _bound(constraint, trial.figures) if may else np.inf)
    return far


def _changeable(measured: Measurement) -> bool:
    """Whether measuring again, and on the whole split, can tell more."""
    return not repeatable(measured) or measured.partial


def _bound(constraint: Constraint, figures: Mapping[str, Measurement]) -> float:
    """How far a figure is from a bound, in units of its interval on that side."""
    measured = figures[constraint.metric]
    gap = constraint.bound - measured.value
    low, high = interval(measured)
    noise = high - measured.value if gap > 0 else measured.value - low
    return abs(gap) / noise if noise > 0 else np.inf


def _may_measure(trial: Trial, metric: Metric) -> bool:
    measured = trial.figures[metric.name]
    return not repeatable(measured) and len(rounds(measured)) < MOST_ROUNDS


def _fresh(info: StudyInfo, trial: Trial, device: str) -> frozenset[str]:
    """The metrics of a device that come out differently each time."""
    return frozenset(
        metric.name
        for metric in info.metrics
        if metric.device == device and not repeatable(trial.figures[metric.name])
    )


def _taken(trial: Trial, names: frozenset[str]) -> int:
    return max(len(rounds(trial.figures[name])) for name in names)
