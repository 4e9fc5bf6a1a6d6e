"""What is worth measuring again: where noise, and nothing else, hides the order of trials."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from paretune.evaluators import Metric
from paretune.evaluators.pooling import repeatable, rounds
from paretune.search.board import Reals
from paretune.search.certainty import Spans, spans
from paretune.search.info import StudyInfo
from paretune.search.nearness import distance_to_bound
from paretune.search.trial import Trial

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
    closest: dict[tuple[int, str], float] = {}

    def add(row: int, metric: Metric, closeness: float) -> None:
        key = (row, metric.device)
        closest[key] = min(closeness, closest.get(key, closeness))

    for row, metric, closeness in _close_pairs(compared, info.objectives):
        add(row, metric, closeness)
    metrics = {metric.name: metric for metric in info.metrics}
    for row, trial in enumerate(compared):
        for constraint in info.constraints:
            metric = metrics[constraint.metric]
            near = distance_to_bound(constraint, trial)
            if near < 1 and _may_measure(trial, metric):
                add(row, metric, near)
    doubts = [
        Doubt(compared[row], _fresh(info, compared[row], device), closeness)
        for (row, device), closeness in closest.items()
    ]
    return sorted(doubts, key=lambda d: (_taken(d.trial, d.metrics), d.closeness, d.trial.number))


def _close_pairs(
    compared: Sequence[Trial], objectives: Sequence[Metric]
) -> Iterator[tuple[int, Metric, float]]:
    """Which of two trials to measure again, in which objective, and how close they are there."""
    if not compared:
        return
    found = spans(compared, objectives)
    closeness = _open(found)
    first, second, column = np.nonzero(closeness < 1)
    width = found.high - found.low
    wider = width[first, column] >= width[second, column]
    wide, narrow = np.where(wider, first, second), np.where(wider, second, first)
    may = np.array([[_may_measure(trial, metric) for metric in objectives] for trial in compared])
    chosen = np.where(may[wide, column], wide, narrow)
    near = closeness[first, second, column]
    told = may[chosen, column]
    for row, which, far in zip(chosen[told], column[told], near[told], strict=True):
        yield int(row), objectives[which], float(far)


def _open(found: Spans) -> Reals:
    """Shape (trials, trials, objectives): closeness of pairs, each once; infinite where settled.

    Settled are pairs whose relation is known, whatever comes of the objectives in doubt.
    """
    sure = found.surely_better(found)
    less, more = sure.any(axis=2), sure.any(axis=2).T
    no_worse = (found.value[:, None] <= found.value[None]).all(axis=2)
    settled = (less & more) | (less & no_worse) | (more & no_worse.T)
    pairs = np.triu(~settled, k=1)
    closeness: Reals = np.where(pairs[:, :, None], found.closeness(found), np.inf)
    return closeness


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
