"""The evaluators of a study together: which metrics there are, and measuring the wanted ones."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from paretune.errors import UserError
from paretune.evaluators.artifact import Artifact
from paretune.evaluators.evaluator import (
    EvaluationContext,
    Evaluator,
    EvaluatorOptions,
    EvaluatorPlugin,
    SplitName,
)
from paretune.evaluators.measurement import Measurement
from paretune.evaluators.metric import Metric
from paretune.names import nearest
from paretune.plugins import find_plugins, load_plugin
from paretune.validation import parse_options

GROUP = "paretune.evaluators"

Configured = Sequence[Mapping[str, Any]]
"""Each `{"type": plugin name, "options": {...}}`; `options` may be left out."""


@dataclass(frozen=True)
class _Declared:
    """An evaluator that could be created: its plugin, its options and what they measure."""

    name: str
    plugin: EvaluatorPlugin[Any]
    options: EvaluatorOptions
    metrics: tuple[Metric, ...]


@dataclass(frozen=True)
class _Running:
    """An evaluator with those of its metrics that are wanted."""

    name: str
    evaluator: Evaluator
    metrics: tuple[Metric, ...]


class EvaluatorSuite:
    """The evaluators that the wanted metrics need. Build it with `create`; close it at the end.

    Attributes:
        metrics: what `measure` measures, in the order in which they were wanted.
    """

    def __init__(
        self, metrics: tuple[Metric, ...], running: Sequence[_Running], stack: ExitStack
    ) -> None:
        self.metrics = metrics
        self._running = running
        self._stack = stack

    @staticmethod
    def declare(configured: Configured) -> dict[str, Metric]:
        """All metrics that can be measured, by name.

        Evaluators that come with Paretune and are not in `configured` count with default options.

        Raises:
            UserError: an unknown evaluator or option, or a metric that two evaluators measure.
        """
        return {metric.name: metric for one in _declare(configured) for metric in one.metrics}

    @staticmethod
    def create(
        configured: Configured, wanted: Sequence[str], context: EvaluationContext
    ) -> "EvaluatorSuite":
        """Start the evaluators of the wanted metrics, and no others.

        Raises:
            UserError: as `declare`; a wanted metric that none measures; data that does not fit.
        """
        declared = _declare(configured)
        metrics = find_metrics(
            {metric.name: metric for one in declared for metric in one.metrics}, wanted
        )
        running = []
        with ExitStack() as stack:
            for one in declared:
                needed = tuple(metric for metric in metrics if metric in one.metrics)
                if needed:
                    evaluator = one.plugin.create(one.options, context)
                    stack.callback(evaluator.close)
                    running.append(_Running(one.name, evaluator, needed))
            return EvaluatorSuite(metrics, running, stack.pop_all())

    def measure(
        self, artifact: Artifact, split: SplitName
    ) -> tuple[dict[str, Measurement], dict[str, float]]:
        """Measure all wanted metrics.

        Returns:
            metric name to measurement, and evaluator name to the seconds it took.

        Raises:
            Infeasible: the artifact cannot be measured.
            TransientError: try again.
        """
        measured: dict[str, Measurement] = {}
        seconds: dict[str, float] = {}
        for one in self._running:
            start = time.perf_counter()
            measured |= one.evaluator.measure(artifact, one.metrics, split)
            seconds[one.name] = time.perf_counter() - start
        return {metric.name: measured[metric.name] for metric in self.metrics}, seconds

    def close(self) -> None:
        """Close all evaluators, also when closing one fails."""
        self._stack.close()

    def __enter__(self) -> "EvaluatorSuite":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def find_metrics(declared: Mapping[str, Metric], names: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics of these names, each once.

    Raises:
        UserError: a name that is not declared, with the nearest one that is.
    """
    for name in names:
        if name not in declared:
            raise UserError(f"unknown metric '{name}'{nearest(name, declared)}")
    return tuple(declared[name] for name in dict.fromkeys(names))


def _declare(configured: Configured) -> list[_Declared]:
    listed = [_one(entry["type"], entry.get("options") or {}) for entry in configured]
    # Someone else's evaluator may be costly to import, or need options: it counts when listed.
    built_in = [
        name
        for name, point in find_plugins(GROUP).items()
        if point.module.startswith("paretune.") and name not in {one.name for one in listed}
    ]
    declared = [*listed, *(_one(name, {}) for name in built_in)]
    owners: dict[str, _Declared] = {}
    for one in declared:
        for metric in one.metrics:
            owner = owners.setdefault(metric.name, one)
            if owner is not one:
                raise UserError(
                    f"the metric '{metric.name}' is measured by two evaluators, '{owner.name}' and"
                    f" '{one.name}'; remove one"
                )
    return declared


def _one(name: str, options: Mapping[str, Any]) -> _Declared:
    plugin: EvaluatorPlugin[Any] = load_plugin(GROUP, name)
    parsed = parse_options(plugin.Options, options, f"evaluator '{name}'")
    return _Declared(name, plugin, parsed, plugin.metrics(parsed))
