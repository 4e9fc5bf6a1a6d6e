"""Dominance that heeds noise: what two trials' intervals say about their order.

Figures of two trials are told apart where their 95% intervals do not meet. That holds however the
two errors hang together: the error of a difference is at most the sum of both errors. Where they
are independent, as latencies measured one after the other are, it is right in more than 99% of the
cases, which leaves room for looking more than once, and at many pairs.

Where a figure's pairing with the fp32 model was measured too (`accuracy_drop` for `accuracy`,
`latency_ratio` for `latency_ms`), its interval speaks: what both share with the reference has
cancelled there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from paretune.evaluators import Measurement, Metric
from paretune.evaluators.metric import extended
from paretune.search import text
from paretune.search.board import Reals, Rows, Truths, points
from paretune.search.trial import Trial


class Relation(StrEnum):
    """How one trial stands to another, all objectives taken together."""

    BETTER = "better"
    """An objective is surely better, and no figure is worse.

    A figure that is worse by less than its noise would not do: what seems a little worse is so in
    more than half of the cases, and it shows on fresh data.
    """

    WORSE = "worse"
    """The other one is better."""

    TIE = "tie"
    """No objective differs beyond its noise."""

    TRADE_OFF = "trade-off"
    """An objective surely differs, and another has the opposite order, if only by its figure."""


EXPLAINED = {
    Relation.BETTER: "an objective better beyond its noise (95% intervals apart), no figure worse;"
    " on the test split where both were measured there",
    Relation.TIE: "no difference beyond the noise",
}
"""What a reader of a table has to know; the others follow."""


@dataclass(frozen=True)
class Spans:
    """Figures of trials, turned so that less is better; each of shape (trials, objectives).

    Attributes:
        value: of the objective itself, which decides who is on the front.
        centre, low, high: of the measurement that tells how sure that is: the paired one if there
            is one, in its own unit. All are equal for exact figures.
    """

    value: Reals
    centre: Reals
    low: Reals
    high: Reals

    def rows(self, which: slice | Rows) -> "Spans":
        """Those of some of the trials."""
        return Spans(self.value[which], self.centre[which], self.low[which], self.high[which])

    def surely_better(self, other: "Spans") -> Truths:
        """Shape (trials, other's trials, objectives): better, and the intervals do not meet."""
        apart = self.high[:, None] < other.low[None]
        truths: Truths = apart & (self.value[:, None] < other.value[None])
        return truths

    def closeness(self, other: "Spans") -> Reals:
        """How far apart two figures are, from 0, equal, to 1, where their intervals meet no more.

        Shape (trials, other's trials, objectives); infinite for exact figures that differ.
        """
        gap = np.abs(self.centre[:, None] - other.centre[None])
        first_is_less = self.centre[:, None] <= other.centre[None]
        noise = np.where(
            first_is_less,
            (self.high - self.centre)[:, None] + (other.centre - other.low)[None],
            (self.centre - self.low)[:, None] + (other.high - other.centre)[None],
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: Reals = np.where(gap > 0, gap / noise, 0.0)
        return ratio


def spans(
    trials: Sequence[Trial],
    objectives: Sequence[Metric],
    pairings: Sequence[str | None] | None = None,
) -> Spans:
    """The figures of measured trials, with what is known of their noise.

    Args:
        pairings: what `pairing` says of each objective, if it was asked about more trials.
    """
    value = points(trials, objectives)
    found = np.empty((3, *value.shape))
    for column, metric in enumerate(objectives):
        paired = pairing(metric, trials) if pairings is None else pairings[column]
        sign = 1.0 if paired is not None or metric.direction == "minimize" else -1.0
        for row, trial in enumerate(trials):
            measured = trial.figures[paired or metric.name]
            low, high = interval(measured)
            ends = sorted((sign * low, sign * high))
            found[:, row, column] = (sign * measured.value, *ends)
    return Spans(value, *found)


def relations(
    first: Sequence[Trial], second: Sequence[Trial], objectives: Sequence[Metric]
) -> list[list[Relation]]:
    """How each of the first trials stands to each of the second.

    A trial ties with itself, `BETTER` one way is `WORSE` the other way, and where all figures are
    exact `BETTER` is plain dominance.
    """
    both = spans([*first, *second], objectives)
    mine, its = both.rows(slice(len(first))), both.rows(slice(len(first), None))
    less = mine.surely_better(its).any(axis=2)
    more = its.surely_better(mine).any(axis=2).T
    no_worse = (mine.value[:, None] <= its.value[None]).all(axis=2)
    no_better = (mine.value[:, None] >= its.value[None]).all(axis=2)
    found = np.select(
        [~less & ~more, less & no_worse, more & no_better],
        [Relation.TIE, Relation.BETTER, Relation.WORSE],
        Relation.TRADE_OFF,
    )
    return [[Relation(name) for name in row] for row in found.tolist()]


def pairing(metric: Metric, trials: Sequence[Trial]) -> str | None:
    """The metric that compares this one with the fp32 model, if all trials have it.

    It is a loss or a ratio: less is better, whichever way the metric itself is turned.
    """
    names = (extended(metric.name, "_drop"), extended(text.stem(metric), "_ratio"))
    return next(
        (n for n in names if n != metric.name and all(n in trial.figures for trial in trials)),
        None,
    )


def interval(measured: Measurement) -> tuple[float, float]:
    """The 95% interval; an exact figure is both its ends."""
    if measured.low is None or measured.high is None:
        return measured.value, measured.value
    return measured.low, measured.high
