"""Fronts and what belongs there, found anew from all trials: slow, and as it is defined."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from paretune.evaluators import Metric
from paretune.evaluators.pooling import repeatable, rounds
from paretune.search.board import points
from paretune.search.certainty import interval, spans
from paretune.search.info import StudyInfo
from paretune.search.trial import Trial, TrialStatus
from paretune.search.undecided import MOST_ROUNDS
from paretune.search.view import front_devices, view
from paretune.spaces import Dense, Precision


def plain_front(
    trials: Sequence[Trial], objectives: Sequence[Metric], *, partial: bool = False
) -> list[int]:
    """Numbers of the front: every trial is compared with every other."""
    given = [trial for trial in trials if trial.feasible and (partial or not trial.partial)]
    costs = points(given, objectives)
    no_worse = (costs[:, None] <= costs[None]).all(axis=2)
    equal = no_worse & no_worse.T
    earlier = np.tri(len(given), k=-1, dtype=bool).T
    beaten = ((no_worse & ~equal) | (equal & earlier)).any(axis=0)
    kept = sorted(np.flatnonzero(~beaten), key=lambda row: (*costs[row], given[row].number))
    return [given[row].number for row in kept]


def plain_fronts(info: StudyInfo, trials: Sequence[Trial], *, partial: bool = False) -> list[int]:
    """Those of the whole study, then those of its devices; whoever is on several, several times."""
    seen = [view(info, trials, device or None) for device in ("", *front_devices(info))]
    return [n for one, those in seen for n in plain_front(those, one.objectives, partial=partial)]


def plain_landmark(trials: Sequence[Trial], precision: Precision) -> int | None:
    """Number of the first trial that is at one precision wherever any trial is."""
    able = {name for t in trials for name, choice in t.policy if choice.precision == precision}
    found = [
        trial.number
        for trial in trials
        if trial.status is TrialStatus.COMPLETE
        and all(
            isinstance(choice.sparsity, Dense)
            and (choice.precision == precision or name not in able)
            for name, choice in trial.policy
        )
    ]
    return min(found) if able and found else None


def plain_members(info: StudyInfo, trials: Sequence[Trial]) -> list[int]:
    """Numbers of what is confirmed and tested in the end."""
    marks = [plain_landmark(trials, one) for one in (Precision.FP32, Precision.INT8)]
    return list(
        dict.fromkeys(
            [
                *plain_fronts(info, trials),
                *plain_fronts(info, trials, partial=True),
                *(number for number in marks if number is not None),
            ]
        )
    )


def plain_overlooked(info: StudyInfo, trials: Sequence[Trial]) -> list[int]:
    """Numbers of unconfirmed trials that a front leaves out within the noise only."""
    closest: dict[int, float] = {}
    for device in ("", *front_devices(info)):
        seen, those = view(info, trials, device or None)
        complete = [trial for trial in those if trial.status is TrialStatus.COMPLETE]
        numbers = plain_front(those, seen.objectives)
        members = [trial for trial in complete if trial.number in numbers]
        outside = [t for t in complete if not t.confirmed and t.number not in numbers]
        for trial in outside:
            far = max(
                (_past(seen, complete, member, trial) for member in members),
                default=0.0,
            )
            far = max(far, _past_bounds(seen, trial))
            closest[trial.number] = min(far, closest.get(trial.number, np.inf))
    return sorted((n for n, far in closest.items() if far < 1), key=lambda n: (closest[n], n))


def plain_undecided(
    info: StudyInfo, compared: Sequence[Trial]
) -> list[tuple[int, frozenset[str], float]]:
    """Numbers, metrics and closeness of what is measured once more: pair by pair."""
    closest: dict[tuple[int, str], float] = {}

    def add(trial: Trial, metric: Metric, closeness: float) -> None:
        key = (compared.index(trial), metric.device)
        closest[key] = min(closeness, closest.get(key, np.inf))

    def may(trial: Trial, metric: Metric) -> bool:
        measured = trial.figures[metric.name]
        return not repeatable(measured) and len(rounds(measured)) < MOST_ROUNDS

    found = spans(compared, info.objectives)
    for i, j in combinations(range(len(compared)), 2):
        one, two = (found.rows(slice(row, row + 1)) for row in (i, j))
        near = one.closeness(two)[0, 0]
        less, more = one.surely_better(two).any(), two.surely_better(one).any()
        no_worse, no_better = (one.value <= two.value).all(), (one.value >= two.value).all()
        if (less and more) or (less and no_worse) or (more and no_better):
            continue
        for k, metric in enumerate(info.objectives):
            width = [found.high[row, k] - found.low[row, k] for row in (i, j)]
            order = (i, j) if width[0] >= width[1] else (j, i)
            able = [row for row in order if may(compared[row], metric)]
            if near[k] < 1 and able:
                add(compared[able[0]], metric, float(near[k]))
    metrics = {metric.name: metric for metric in info.metrics}
    for trial in compared:
        for constraint in info.constraints:
            measured = trial.figures[constraint.metric]
            low, high = interval(measured)
            gap = constraint.bound - measured.value
            noise = high - measured.value if gap > 0 else measured.value - low
            if abs(gap) < noise and may(trial, metrics[constraint.metric]):
                add(trial, metrics[constraint.metric], abs(gap) / noise)
    doubts = []
    for (row, device), closeness in closest.items():
        figures = compared[row].figures
        fresh = [m.name for m in info.metrics if m.device == device]
        names = frozenset(name for name in fresh if not repeatable(figures[name]))
        taken = max(len(rounds(figures[name])) for name in names)
        doubts.append((taken, closeness, compared[row].number, names))
    doubts.sort(key=lambda doubt: doubt[:3])
    return [(number, names, closeness) for _, closeness, number, names in doubts]


def _past(info: StudyInfo, complete: Sequence[Trial], member: Trial, trial: Trial) -> float:
    """What a trial lacks to get past a member."""
    found = spans(complete, info.objectives)
    i, j = (complete.index(one) for one in (member, trial))
    if not (found.value[i] <= found.value[j]).all():
        return 0.0
    lacking = [np.inf]
    for k, metric in enumerate(info.objectives):
        measured = trial.figures[metric.name]
        if not repeatable(measured) or measured.partial:
            first, second = (i, j) if found.centre[i, k] <= found.centre[j, k] else (j, i)
            gap = found.centre[second, k] - found.centre[first, k]
            noise = found.high[first, k] - found.centre[first, k]
            noise += found.centre[second, k] - found.low[second, k]
            lacking.append(0.0 if gap == 0 else gap / noise if noise > 0 else np.inf)
    return float(min(lacking))


def _past_bounds(info: StudyInfo, trial: Trial) -> float:
    far = 0.0
    for constraint in info.constraints:
        measured = trial.figures[constraint.metric]
        if (excess := constraint.violation(trial.figures)) > 0:
            low, high = interval(measured)
            noise = measured.value - low if constraint.operator == "<=" else high - measured.value
            changeable = not repeatable(measured) or measured.partial
            far = max(far, excess / noise if changeable and noise > 0 else np.inf)
    return far
