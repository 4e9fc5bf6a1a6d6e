"""The evaluators of a study together: which metrics there are, and measuring the wanted ones."""

import time
from collections.abc import Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from paretune.errors import UserError
from paretune.evaluators.artifact import Artifact
from paretune.evaluators.devices.connecting import connect
from paretune.evaluators.devices.device import DeviceSpec
from paretune.evaluators.evaluator import (
    DeviceContext,
    EvaluationContext,
    Evaluator,
    EvaluatorOptions,
    EvaluatorPlugin,
    PartEvaluator,
    SplitName,
)
from paretune.evaluators.lanes import run_lanes
from paretune.evaluators.measurement import Measurement
from paretune.evaluators.measuring.conditions import machine_id
from paretune.evaluators.metric import Metric, at
from paretune.evaluators.part import Part
from paretune.evaluators.watch import Watch, WatchedDevice
from paretune.names import nearest
from paretune.plugins import find_plugins, load_plugin
from paretune.validation import parse_options

GROUP = "paretune.evaluators"

HOST = (DeviceSpec(),)
"""The devices of a study that names none."""

Configured = Sequence[Mapping[str, Any]]
"""Each `{"type": plugin name, "options": {...}}`; `options` may be left out."""


@dataclass(frozen=True)
class _Declared:
    """An evaluator that could be created: its plugin, its options and what they measure.

    Attributes:
        device: where, for a plugin that is created once for every device.
        metrics: by the name that they have in the study, as the plugin declares them.
    """

    name: str
    plugin: EvaluatorPlugin[Any]
    options: EvaluatorOptions
    device: DeviceSpec | None
    metrics: Mapping[str, Metric]


@dataclass(frozen=True)
class _Running:
    """An evaluator with those of its metrics that are wanted.

    Attributes:
        machine: that it keeps busy.
    """

    name: str
    evaluator: Evaluator
    metrics: Mapping[str, Metric]
    machine: str
    watch: Watch

    def only(self, names: Set[str]) -> "_Running":
        """The same with those of its metrics that are among the names."""
        return replace(self, metrics={n: m for n, m in self.metrics.items() if n in names})

    def measure(
        self, artifact: Artifact, split: SplitName, part: Part | None
    ) -> tuple[dict[str, Measurement], float]:
        """Measurements by the metrics' names in the study, and the seconds that it took."""
        metrics = tuple(self.metrics.values())
        start = time.perf_counter()
        with self.watch.working(self.name):
            if part is not None and any(metric.sampled for metric in metrics):
                partly = cast(PartEvaluator, self.evaluator)
                found = partly.measure(artifact, metrics, split, part)
            else:
                found = self.evaluator.measure(artifact, metrics, split)
        seconds = time.perf_counter() - start
        return {name: found[metric.name] for name, metric in self.metrics.items()}, seconds


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
    def declare(configured: Configured, devices: Sequence[DeviceSpec] = HOST) -> dict[str, Metric]:
        """All metrics that can be measured, by name.

        Evaluators that come with Paretune and are not in `configured` count with default options.
        With several devices, what is measured on each of them is named `latency_ms@pi`.

        Raises:
            UserError: an unknown evaluator or option, or a metric that two evaluators measure.
        """
        return _metrics(_declare(configured, devices))

    @staticmethod
    def on_devices(configured: Configured, devices: Sequence[DeviceSpec] = HOST) -> frozenset[str]:
        """The evaluators that measure devices: a split with more samples takes them no longer.

        Raises:
            UserError: as `declare`.
        """
        return frozenset(one.name for one in _declare(configured, devices) if one.device)

    @staticmethod
    def create(
        configured: Configured,
        wanted: Sequence[str],
        context: EvaluationContext,
        devices: Sequence[DeviceSpec] = HOST,
        watch: Watch | None = None,
    ) -> "EvaluatorSuite":
        """Start the evaluators of the wanted metrics, and connect to the devices that they need.

        Args:
            watch: is told what the evaluators are at.

        Raises:
            UserError: as `declare`; a wanted metric that none measures; data that does not fit; a
                device that is not there.
            TransientError: a device, or the way to it, failed.
        """
        declared = _declare(configured, devices)
        metrics = find_metrics(_metrics(declared), wanted)
        names = {metric.name for metric in metrics}
        running = []
        watch = watch or Watch()
        connected: dict[str, DeviceContext] = {}
        # What is measured without a device comes first: outputs that are NaN need no latency.
        with ExitStack() as stack:
            for one in sorted(declared, key=lambda one: one.device is not None):
                needed = {name: metric for name, metric in one.metrics.items() if name in names}
                if not needed:
                    continue
                place = None
                if one.device is not None:
                    place = connected.get(one.device.name)
                    if place is None:
                        device = connect(one.device)
                        stack.callback(device.close)
                        place = DeviceContext(one.device.name, device, one.device.setup)
                        connected[place.name] = place
                    place = replace(place, device=WatchedDevice(place.device, watch, one.name))
                evaluator = one.plugin.create(one.options, replace(context, device=place))
                stack.callback(evaluator.close)
                machine = machine_id() if place is None else place.device.machine
                running.append(_Running(one.name, evaluator, needed, machine, watch))
            return EvaluatorSuite(metrics, running, stack.pop_all())

    def measure(
        self,
        artifact: Artifact,
        split: SplitName,
        only: Set[str] | None = None,
        part: Part | None = None,
    ) -> tuple[dict[str, Measurement], dict[str, float]]:
        """Measure all wanted metrics: different machines at the same time, each one by one.

        An error ends what is left to do on its machine only; when all have ended, the first is
        raised, in the order of the evaluators.

        Args:
            only: names of wanted metrics, to leave out the others.
            part: of the split, for metrics that are `sampled`; others are measured whole.

        Returns:
            metric name to measurement, and evaluator (`latency`, or `latency@pi`) to the seconds
            that it took; those of different machines overlap.

        Raises:
            Infeasible: the artifact cannot be measured.
            CandidateError: it broke what measured it.
            TransientError: try again.
        """
        asked = self._running
        if only is not None:
            asked = [one.only(only) for one in asked if only & one.metrics.keys()]
        done = run_lanes(
            [(one.machine, partial(one.measure, artifact, split, part)) for one in asked]
        )
        measured: dict[str, Measurement] = {}
        for found, _ in done:
            measured |= found
        seconds = {one.name: spent for one, (_, spent) in zip(asked, done, strict=True)}
        order = [metric.name for metric in self.metrics if metric.name in measured]
        return {name: measured[name] for name in order}, seconds

    def close(self) -> None:
        """Close all evaluators and devices, also when closing one fails."""
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
            raise UserError(unknown_metric(name, declared))
    return tuple(declared[name] for name in dict.fromkeys(names))


def unknown_metric(name: str, declared: Mapping[str, Metric]) -> str:
    """The message about a name that is not declared."""
    if each := [known for known, metric in declared.items() if metric.base == name]:
        return f"unknown metric '{name}': each device has its own, say {' or '.join(each)}"
    return f"unknown metric '{name}'{nearest(name, declared)}"


def _metrics(declared: Sequence[_Declared]) -> dict[str, Metric]:
    found = {}
    for one in declared:
        for name, metric in one.metrics.items():
            device = name.partition("@")[2]
            found[name] = metric.on(device) if device else metric
    return found


def _declare(configured: Configured, devices: Sequence[DeviceSpec]) -> list[_Declared]:
    listed = [entry["type"] for entry in configured]
    # Someone else's evaluator may be costly to import, or need options: it counts when listed.
    built_in = [
        name
        for name, point in find_plugins(GROUP).items()
        if point.module.startswith("paretune.") and name not in listed
    ]
    entries = [*configured, *({"type": name} for name in built_in)]
    declared = [
        one
        for entry in entries
        for one in _each(entry["type"], entry.get("options") or {}, devices)
    ]
    owners: dict[str, _Declared] = {}
    for one in declared:
        for name in one.metrics:
            owner = owners.setdefault(name, one)
            if owner is not one:
                raise UserError(
                    f"the metric '{name}' is measured by two evaluators, '{owner.name}' and"
                    f" '{one.name}'; remove one"
                )
    return declared


def _each(name: str, options: Mapping[str, Any], devices: Sequence[DeviceSpec]) -> list[_Declared]:
    """An evaluator, or one for every device."""
    plugin: EvaluatorPlugin[Any] = load_plugin(GROUP, name)
    parsed = parse_options(plugin.Options, options, f"evaluator '{name}'")
    metrics = plugin.metrics(parsed)
    for metric in metrics:
        if "@" in metric.name:
            raise UserError(
                f"evaluator '{name}': the metric '{metric.name}' must be named without '@', which"
                " separates the name of a device"
            )
    # Other people's evaluators need not know of devices.
    if not getattr(plugin, "per_device", False):
        return [_Declared(name, plugin, parsed, None, {m.name: m for m in metrics})]
    several = len(devices) > 1
    metrics = tuple(replace(metric, per_device=True) for metric in metrics)
    return [
        _Declared(
            at(name, device.name if several else ""),
            plugin,
            parsed,
            device,
            {at(m.name, device.name if several else ""): m for m in metrics},
        )
        for device in devices
    ]
