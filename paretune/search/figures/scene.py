"""What a picture of a front shows, worked out once for every renderer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import moocore
import numpy as np
from numpy.typing import NDArray

from paretune.evaluators import Metric
from paretune.search import text
from paretune.search.front import front
from paretune.search.info import StudyInfo
from paretune.search.landmark import landmarks
from paretune.search.standing import Standing, standings
from paretune.search.table import ordered
from paretune.search.trial import Trial, TrialStatus

Span = tuple[float, float]

TIED = "front, ties with another member"
"""Legend of the members that the noise does not tell apart."""


@dataclass(frozen=True)
class Axis:
    """One metric, drawn in the unit of `shown`."""

    metric: Metric
    shown: text.Scale

    @property
    def title(self) -> str:
        return text.label(self.metric, self.shown.unit)

    @property
    def sign(self) -> float:
        return 1.0 if self.metric.direction == "minimize" else -1.0

    def values(self, trials: Sequence[Trial]) -> NDArray[np.float64]:
        """Shape (trials,), in the unit shown."""
        found = [trial.figures[self.metric.name].value for trial in trials]
        return np.array(found, dtype=np.float64) / self.shown.divisor

    def errors(self, trials: Sequence[Trial]) -> NDArray[np.float64]:
        """Shape (2, trials): how far the intervals reach below and above the values; 0 if exact."""
        rows = []
        for trial in trials:
            m = trial.figures[self.metric.name]
            exact = m.low is None or m.high is None
            rows.append((0.0, 0.0) if exact else (m.value - m.low, m.high - m.value))  # type: ignore[operator]
        errors = np.array(rows, dtype=np.float64).reshape(len(trials), 2).T
        return np.maximum(errors, 0.0) / self.shown.divisor


@dataclass(frozen=True)
class Pair:
    """Two metrics drawn against each other: objectives, or the only one and a further metric."""

    x: Axis
    y: Axis


@dataclass(frozen=True)
class Scene:
    """Attributes:
    members: of the front.
    standings: of the members, by number.
    others: satisfy all constraints, off the front.
    violating: measured, but break a constraint.
    marks: name of a landmark to its trial.
    pairs: of objectives, the most telling first.
    total: number of trials, failed ones included.
    """

    info: StudyInfo
    members: Sequence[Trial]
    standings: Mapping[int, Standing]
    others: Sequence[Trial]
    violating: Sequence[Trial]
    marks: dict[str, Trial]
    pairs: Sequence[Pair]
    total: int

    @property
    def title(self) -> str:
        return f"{self.info.name}: {len(self.members)} on the front of {self.total} trials"

    @property
    def clear(self) -> list[Trial]:
        """Members that differ from every other beyond the noise."""
        return [member for member in self.members if not self.standings[member.number].ties]

    @property
    def ties(self) -> list[Trial]:
        """The other members."""
        return [member for member in self.members if self.standings[member.number].ties]

    @property
    def caption(self) -> str:
        if self.members and all(member.confirmed for member in self.members):
            return "Front: measured again on the whole search split; bars are 95% intervals"
        return "As measured during the search; bars are 95% intervals"


def scene(info: StudyInfo, trials: Sequence[Trial]) -> Scene:
    """Sort the trials into what is drawn how."""
    complete = [trial for trial in trials if trial.status is TrialStatus.COMPLETE]
    members = front(complete, info.objectives)
    on_front = {member.number for member in members}
    axes = []
    drawn = ordered(info)[: max(2, len(info.objectives))]
    for metric in drawn:
        values = [trial.figures[metric.name].value for trial in complete]
        axes.append(Axis(metric, text.scale(metric, values)))
    return Scene(
        info=info,
        members=members,
        standings=standings(info, complete, members),
        others=[t for t in complete if t.feasible and t.number not in on_front],
        violating=[t for t in complete if not t.feasible],
        marks=dict(landmarks(complete)),
        pairs=_pairs(axes),
        total=len(trials),
    )


def staircase(pair: Pair, members: Sequence[Trial]) -> list[Trial]:
    """Members that no other dominates in these two objectives alone, best `x` first.

    Joined by steps, first along `x` and then along `y`, they bound what was attained.
    """
    if not members:
        return []
    costs = np.stack(
        [pair.x.values(members) * pair.x.sign, pair.y.values(members) * pair.y.sign], axis=1
    )
    kept = np.flatnonzero(moocore.is_nondominated(costs)).tolist()
    return [members[i] for i in sorted(kept, key=lambda i: costs[i, 0])]


def window(axis: Axis, scene_: Scene) -> Span:
    """The part of the axis around front and landmarks; far-off trials must not squeeze them."""
    inner = [*scene_.members, *scene_.marks.values()]
    every = axis.values([*inner, *scene_.others, *scene_.violating])
    if not len(every):
        return 0.0, 1.0
    core = axis.values(inner) if inner else every
    below, above = axis.errors(inner) if inner else (np.zeros(1), np.zeros(1))
    low, high = float((core - below).min()), float((core + above).max())
    span = (high - low) or abs(high) * 0.1 or 1.0
    low_end = max(low - 0.45 * span, min(float(every.min()), low))
    high_end = min(high + 0.45 * span, max(float(every.max()), high))
    return low_end - 0.06 * span, high_end + 0.06 * span


def outside(pair: Pair, scene_: Scene) -> int:
    """How many measured trials lie outside the window of both axes."""
    every = [*scene_.members, *scene_.others, *scene_.violating]
    inside = np.ones(len(every), dtype=bool)
    for axis in (pair.x, pair.y):
        low, high = window(axis, scene_)
        values = axis.values(every)
        inside &= (low <= values) & (values <= high)
    return int((~inside).sum())


def _pairs(axes: Sequence[Axis]) -> list[Pair]:
    """Every two axes, costs along `x`; a quality against a cost comes before two costs."""
    pairs = []
    for first, second in combinations(axes, 2):
        swap = second.metric.direction == "minimize"
        pairs.append(Pair(second, first) if swap else Pair(first, second))
    return sorted(pairs, key=lambda p: (p.x.sign == p.y.sign, p.x.sign < 0))
