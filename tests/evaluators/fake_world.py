"""A world of several devices without any: they and their plugins log what happens."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from paretune.evaluators import (
    Artifact,
    EvaluationContext,
    EvaluatorOptions,
    EvaluatorSuite,
    Measurement,
    Metric,
    suite,
)
from paretune.evaluators.devices.device import DeviceSpec
from paretune.evaluators.evaluator import DeviceContext, SplitName
from paretune.evaluators.measuring.job import Job, Limits, Setup
from paretune.evaluators.measuring.result import Estimate, Result


@dataclass
class FakeDevice:
    """Returns one figure, and lets a test look on.

    Attributes:
        looking: is called within every job.
    """

    name: str
    machine: str
    seconds: float = 0.001
    log: list[str] = field(default_factory=list)
    looking: Callable[[], None] = lambda: None

    def run(self, job: Job) -> Result:
        self.log.append(f"{self.name} runs {job.setup.threads} threads")
        self.looking()
        figure = Estimate(self.seconds, 0.9 * self.seconds, 1.1 * self.seconds)
        return Result({"latency": figure}, conditions={"host": self.machine}, flags=("disturbed",))

    def close(self) -> None:
        self.log.append(f"{self.name} closed")


class _Timer:
    """Bound to a device, as a real evaluator is."""

    def __init__(self, place: DeviceContext, log: list[str], name: str) -> None:
        self._place, self._log, self._name = place, log, name

    def measure(
        self, _artifact: Artifact, metrics: Sequence[Metric], _split: SplitName
    ) -> dict[str, Measurement]:
        job = Job("latency", self._place.setup, {}, {}, Limits(1.0))
        result = self._place.device.run(job)
        found = result.figures["latency"]
        self._log.append(f"{self._place.name} asked for {[m.name for m in metrics]}")
        return {
            metric.name: Measurement(
                1e3 * found.value, conditions=result.conditions, flags=result.flags
            )
            for metric in metrics
        }

    def close(self) -> None:
        self._log.append(f"{self._name} of {self._place.name} closed")


@dataclass
class TimerPlugin:
    """Two metrics of a device."""

    name: str
    log: list[str]
    prefix: str = ""
    per_device = True
    Options = EvaluatorOptions

    def metrics(self, _options: EvaluatorOptions) -> tuple[Metric, ...]:
        return (
            Metric(f"{self.prefix}latency_ms", "ms", "minimize", "Median latency"),
            Metric(f"{self.prefix}load_ms", "ms", "minimize", "Time to load"),
        )

    def create(self, _options: EvaluatorOptions, context: EvaluationContext) -> _Timer:
        assert context.device is not None
        return _Timer(context.device, self.log, self.name)


@dataclass
class JudgePlugin:
    """Measures on this host, without a device; does not know of `per_device`."""

    log: list[str]
    looking: Callable[[], None] = lambda: None
    Options = EvaluatorOptions

    def metrics(self, _options: EvaluatorOptions) -> tuple[Metric, ...]:
        return (Metric("accuracy", "", "maximize", "Share of right answers"),)

    def create(self, _options: EvaluatorOptions, context: EvaluationContext) -> "JudgePlugin":
        assert context.device is None
        return self

    def measure(
        self, _artifact: Artifact, _metrics: Sequence[Metric], _split: SplitName
    ) -> dict[str, Measurement]:
        self.looking()
        self.log.append("accuracy")
        return {"accuracy": Measurement(0.9)}

    def close(self) -> None:
        self.log.append("accuracy closed")


class World:
    """Devices and plugins that are there.

    Attributes:
        log: what happened, in order.
    """

    def __init__(self, machines: Mapping[str, str]) -> None:
        self.log: list[str] = []
        self.devices = {
            name: FakeDevice(name, machine, 0.001 * number, self.log)
            for number, (name, machine) in enumerate(machines.items(), 1)
        }
        self.judge = JudgePlugin(self.log)
        self.plugins: dict[str, Any] = {
            "timer": TimerPlugin("timer", self.log),
            "other": TimerPlugin("other", self.log, "other_"),
            "judge": self.judge,
        }

    @property
    def specs(self) -> list[DeviceSpec]:
        return [
            DeviceSpec(name, "fake", setup=Setup(threads=number))
            for number, name in enumerate(self.devices, 1)
        ]

    def connect(self, spec: DeviceSpec) -> FakeDevice:
        self.log.append(f"{spec.name} connected")
        return self.devices[spec.name]

    def create(
        self, wanted: Sequence[str], context: EvaluationContext, types: str = "timer judge"
    ) -> EvaluatorSuite:
        listed = [{"type": name} for name in types.split()]
        return EvaluatorSuite.create(listed, wanted, context, self.specs)


@pytest.fixture
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(getattr(request, "param", {"pi": "m1", "server": "m2"}))
    monkeypatch.setattr(suite, "load_plugin", lambda _, name: made.plugins[name])
    monkeypatch.setattr(suite, "find_plugins", lambda _: {})
    monkeypatch.setattr(suite, "connect", made.connect)
    yield made
