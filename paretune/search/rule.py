"""Rules that pick one member of a front."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from paretune.errors import ParetuneError, UserError
from paretune.evaluators import Metric
from paretune.search import text
from paretune.search.board import points
from paretune.search.front import front
from paretune.search.info import StudyInfo
from paretune.search.landmark import reference
from paretune.search.table import ordered
from paretune.search.trial import Trial, TrialStatus


class NothingPicked(ParetuneError):
    """No front member satisfies the rule; the message shows the nearest. Exit code 1."""


class Rule(Protocol):
    """Chooses by search or confirmed figures, never by those of the test split.

    `str(rule)` says in words what it does.
    """

    def choose(self, info: StudyInfo, trials: Sequence[Trial]) -> Trial:
        """The trial that the rule selects; of equals the one with the lowest number.

        Raises:
            NothingPicked: none satisfies the rule.
            UserError: the rule does not fit the study.
        """
        ...


@dataclass(frozen=True)
class MaxDrop:
    """Of the members that lose at most `max_drop` of the fp32 model's accuracy, the least costly.

    The loss is the metric `accuracy_drop` where the study has it; else it is taken from
    `accuracy`, or the first metric that is to be maximized and does not depend on a device, against
    the fp32 trial.

    Attributes:
        max_drop: in the accuracy's own unit, e.g. 0.01 for one percentage point.
        minimize: name of the metric that decides.
    """

    max_drop: float
    minimize: str

    def __str__(self) -> str:
        return f"the least {self.minimize} among those that lose at most {self.max_drop:g}"

    def choose(self, info: StudyInfo, trials: Sequence[Trial]) -> Trial:
        members = _members(info, trials)
        metric = _metric(info, self.minimize)
        drops = {trial.number: drop(info, trials, trial) for trial in members}
        fitting = [trial for trial in members if drops[trial.number] <= self.max_drop]
        if not fitting:
            near = min(members, key=lambda t: (drops[t.number], t.number))
            raise NothingPicked(
                f"no front member loses at most {self.max_drop:g}; nearest is"
                f" {_spelled(info, near)}, which loses {drops[near.number]:.4g}"
            )
        cost = {t.number: float(points([t], [metric])[0, 0]) for t in fitting}
        return min(fitting, key=lambda t: (cost[t.number], drops[t.number], t.number))


@dataclass(frozen=True)
class Knee:
    """The member farthest beyond the plane through the extremes of the normalized objectives.

    With two objectives: farthest from the line that joins the ends of the front. Das, "On
    characterizing the 'knee' of the Pareto curve based on normal-boundary intersection",
    Structural Optimization 18 (1999), doi:10.1007/BF01195985.
    """

    def __str__(self) -> str:
        return "the knee point of the front"

    def choose(self, info: StudyInfo, trials: Sequence[Trial]) -> Trial:
        members = _members(info, trials)
        # The distance to the plane sum(x) = 1 falls with the sum.
        sums = normalized(members, info.objectives).sum(axis=1)
        return _least(members, sums)


@dataclass(frozen=True)
class Weights:
    """The member with the least weighted sum of metrics, each normalized over the front.

    Attributes:
        weights: metric name to its weight, not negative, at least one positive.
    """

    weights: Mapping[str, float]

    def __str__(self) -> str:
        shares = ", ".join(f"{name}={weight:g}" for name, weight in self.weights.items())
        return f"the best weighted sum of normalized figures ({shares})"

    def choose(self, info: StudyInfo, trials: Sequence[Trial]) -> Trial:
        members = _members(info, trials)
        metrics = [_metric(info, name) for name in self.weights]
        weights = np.array(list(self.weights.values()), dtype=np.float64)
        if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
            raise UserError(
                "weights must not be negative and one must be positive, but got "
                + ", ".join(f"{name}={weight:g}" for name, weight in self.weights.items())
            )
        return _least(members, normalized(members, metrics) @ weights)


@dataclass(frozen=True)
class TrialNumber:
    """The trial of that number, on the front or not."""

    number: int

    def __str__(self) -> str:
        return f"trial {self.number}, by its number"

    def choose(self, info: StudyInfo, trials: Sequence[Trial]) -> Trial:
        found = next((trial for trial in trials if trial.number == self.number), None)
        if found is None:
            raise UserError(
                f"no trial {self.number}; the study '{info.name}' has {len(trials)}, from 0"
            )
        if found.status is not TrialStatus.COMPLETE:
            raise UserError(f"trial {self.number} is {found.status.value}: {found.reason}")
        return found


def normalized(trials: Sequence[Trial], metrics: Sequence[Metric]) -> NDArray[np.float64]:
    """Figures from 0, the best among `trials`, to 1, the worst; 0 where all are equal.

    Returns:
        shape (trials, metrics).
    """
    costs = points(trials, metrics)
    span = np.ptp(costs, axis=0)
    scaled: NDArray[np.float64] = (costs - costs.min(axis=0)) / np.where(span > 0, span, 1.0)
    return scaled


def drop(info: StudyInfo, trials: Sequence[Trial], trial: Trial) -> float:
    """How much accuracy a trial loses to the fp32 model.

    Raises:
        UserError: the study measures no quality that is to be maximized, or has no fp32 trial.
    """
    if "accuracy_drop" in trial.figures:
        return trial.figures["accuracy_drop"].value
    # More throughput is no better answer.
    quality = [
        metric.name
        for metric in ordered(info)
        if metric.direction == "maximize" and not metric.per_device
    ]
    if not quality:
        raise UserError(
            "a largest drop needs a quality that is to be maximized, such as accuracy; the study"
            f" measures {', '.join(metric.name for metric in info.metrics)}"
        )
    name = "accuracy" if "accuracy" in quality else quality[0]
    whole = reference(trials)
    if whole is None:
        raise UserError("a largest drop needs the fp32 model's trial, which the study lacks")
    return whole.figures[name].value - trial.figures[name].value


def _members(info: StudyInfo, trials: Sequence[Trial]) -> list[Trial]:
    members = front(trials, info.objectives)
    if not members:
        raise NothingPicked(
            f"the front of '{info.name}' is empty: none of {len(trials)} trials satisfies"
            f" {', '.join(map(str, info.constraints)) or 'the constraints'}"
        )
    return members


def _metric(info: StudyInfo, name: str) -> Metric:
    """The metric of this name; the device may be left out where there is but one."""
    known = {metric.name: metric for metric in ordered(info)}
    if name in known:
        return known[name]
    each = [metric for metric in known.values() if metric.base == name]
    if len(each) > 1:
        raise UserError(
            f"each device has its own '{name}': say {' or '.join(m.name for m in each)}, or name"
            " the device"
        )
    if not each:
        raise UserError(f"unknown metric '{name}'; the study measures {', '.join(known)}")
    return each[0]


def _least(members: Sequence[Trial], costs: NDArray[np.float64]) -> Trial:
    return min(zip(costs, members, strict=True), key=lambda pair: (pair[0], pair[1].number))[1]


def _spelled(info: StudyInfo, trial: Trial) -> str:
    shown = (
        f"{metric.name} {text.figure(trial.figures[metric.name], text.Scale(1.0, metric.unit))}"
        for metric in ordered(info)
    )
    return f"trial {trial.number} ({', '.join(shown)})"
