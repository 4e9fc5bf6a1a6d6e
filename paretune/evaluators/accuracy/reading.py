"""From scores to measurements."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import hypot
from typing import Any

import numpy as np

from paretune.evaluators.accuracy.experience import Experience, forecast
from paretune.evaluators.accuracy.gathered import Gathered
from paretune.evaluators.accuracy.order import Rows
from paretune.evaluators.accuracy.user import UserMetric
from paretune.evaluators.intervals import Interval, Scores, Z, difference_interval, mean_interval
from paretune.evaluators.measurement import Measurement
from paretune.evaluators.metric import Direction, Metric

_AGAINST_ITSELF = {"agreement": 1.0, "divergence": 0.0}
"""What the fp32 model scores in comparison with itself."""


def kind(metric: str, functions: Collection[str]) -> str:
    """The kind of per-sample scores that a metric is made of."""
    return metric if metric in functions else metric.removesuffix("_drop")


@dataclass(frozen=True)
class Kinds:
    """The kinds of scores, and what the fp32 model scores.

    Attributes:
        reference: of the asked kinds.
        functions: the user's metrics by name.
        total: samples.
    """

    reference: Gathered
    functions: Mapping[str, UserMetric]
    total: int

    def before(self, name: str) -> Scores:
        """The fp32 model's scores, shape (samples,)."""
        if name in _AGAINST_ITSELF:
            return np.full(self.total, _AGAINST_ITSELF[name])
        return self.reference[name]

    def direction(self, name: str) -> Direction:
        """Which way scores are better."""
        if name in self.functions:
            return self.functions[name].direction
        return "minimize" if name == "divergence" else "maximize"

    def gains(self, name: str, rows: Rows, scores: Scores) -> Scores:
        """What a candidate gains over the fp32 model, shape of `rows`; losses are negative."""
        gains: Scores = scores - self.before(name)[rows]
        return gains if self.direction(name) == "maximize" else -gains

    def limit(self, name: str) -> Scores | None:
        """The most that can be gained on each sample, or None if there is no limit.

        The fp32 model's scores of a user's metric tell whether none is negative, and whether they
        are shares.
        """
        before = self.before(name)
        if before.min() < 0:
            return None
        if self.direction(name) == "minimize":
            return before
        return 1 - before if before.max() <= 1 else None


@dataclass(frozen=True)
class Reading:
    """Scores of a candidate.

    Attributes:
        kinds: with the fp32 model's scores.
        candidate: of the samples that ran, in their order.
        rows: which those are.
        experience: by kind; None where the whole split was asked for.
    """

    kinds: Kinds
    candidate: Gathered
    rows: Rows
    experience: Mapping[str, Experience] | None

    def measurement(self, metric: Metric, conditions: Mapping[str, Any]) -> Measurement:
        """One metric's value with its interval."""
        scores = self.candidate[kind(metric.name, self.kinds.functions)]
        samples: dict[str, Any] = {"count": len(scores)}
        if self.experience is not None:
            samples["of"] = self.kinds.total
        if len(scores) == self.kinds.total:
            value, interval = self._whole(metric, scores)
        else:
            value, interval, samples["best"] = self._expected(metric, scores)
        low, high = interval or (None, None)
        return Measurement(value, low, high, samples, conditions)

    def _whole(self, metric: Metric, scores: Scores) -> tuple[float, Interval | None]:
        # Sums depend on the order to the last digit.
        scores = scores[np.argsort(self.rows)]
        name = kind(metric.name, self.kinds.functions)
        if metric.name == name:
            shares = name != "divergence"
            return float(scores.mean()), mean_interval(scores, shares=shares)
        own, before = self.kinds.functions.get(name), self.kinds.before(name)
        first, second = (before, scores) if own is None else own.loss(before, scores)
        return float((first - second).mean()), difference_interval(first, second)

    def _expected(
        self, metric: Metric, scores: Scores
    ) -> tuple[float, Interval | None, float | None]:
        """The value, its interval and what it is at best, from a part of the samples.

        The interval is that of the whole split, widened by what is not known of the split.
        """
        assert self.experience is not None
        name = kind(metric.name, self.kinds.functions)
        gains = self.kinds.gains(name, self.rows, scores)
        found = forecast(self.experience[name], self.rows, gains)
        before: Scores | float = self.kinds.before(name)
        sign = 1 if self.kinds.direction(name) == "maximize" else -1
        if metric.name != name:
            before, sign = 0.0, -1
        expected = before + sign * found.gains
        value, base = float(np.mean(expected)), float(np.mean(before))
        best = None if found.best is None else base + sign * found.best
        split = mean_interval(expected, shares=False)
        if split is None:
            return value, None, best
        low, high = (hypot(value - end, Z * found.error) for end in split)
        return value, (value - low, value + high), best
