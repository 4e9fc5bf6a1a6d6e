"""Several devices: names, who measures at the same time, who is connected and closed."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from paretune.errors import Infeasible, TransientError, UserError
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
from paretune.evaluators.measuring.conditions import machine_id
from paretune.evaluators.measuring.job import Job, Limits, Setup
from paretune.evaluators.measuring.result import Estimate, Result

_SECONDS = 30.0


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


on = pytest.mark.parametrize
LISTED = [{"type": "timer"}, {"type": "judge"}]
PI, SERVER = DeviceSpec("pi"), DeviceSpec("server")


def test_one_device_leaves_the_names_alone(world: World) -> None:
    for devices in ((), (PI,)):
        names = list(EvaluatorSuite.declare(LISTED, devices))
        assert names == (["latency_ms", "load_ms", "accuracy"] if devices else ["accuracy"])
    assert list(EvaluatorSuite.declare(LISTED)) == ["latency_ms", "load_ms", "accuracy"]


def test_several_devices_end_the_names(world: World) -> None:
    declared = EvaluatorSuite.declare(LISTED, (PI, SERVER))
    assert list(declared) == [
        "latency_ms@pi",
        "load_ms@pi",
        "latency_ms@server",
        "load_ms@server",
        "accuracy",
    ]
    metric = declared["latency_ms@server"]
    assert (metric.name, metric.base, metric.device) == (
        "latency_ms@server",
        "latency_ms",
        "server",
    )
    assert metric.description == "Median latency, on server"
    assert (metric.unit, metric.direction) == ("ms", "minimize")


def test_a_name_without_its_device_is_explained(world: World, context: EvaluationContext) -> None:
    with pytest.raises(
        UserError, match="'latency_ms': each device has its own, say latency_ms@pi or latency_ms@se"
    ):
        world.create(["latency_ms"], context)
    with pytest.raises(UserError, match="'latency_ms@p'; nearest is 'latency_ms@pi'"):
        world.create(["latency_ms@p"], context)
    assert world.log == []


def test_a_plugin_must_not_name_devices_itself(world: World) -> None:
    world.plugins["timer"].prefix = "a@b_"
    with pytest.raises(UserError, match="'timer': the metric 'a@b_latency_ms' must be named with"):
        EvaluatorSuite.declare(LISTED)


def test_every_device_gives_its_own_figures(
    world: World, context: EvaluationContext, candidate: Artifact
) -> None:
    wanted = ["latency_ms@server", "accuracy", "latency_ms@pi", "load_ms@server"]
    with world.create(wanted, context) as evaluators:
        measured, seconds = evaluators.measure(candidate, "search")
        assert [metric.name for metric in evaluators.metrics] == list(measured) == wanted
    assert {name: m.value for name, m in measured.items()} == {
        "latency_ms@server": 2.0,
        "accuracy": 0.9,
        "latency_ms@pi": 1.0,
        "load_ms@server": 2.0,
    }
    assert measured["latency_ms@pi"].conditions == {"host": "m1"}
    assert measured["latency_ms@pi"].flags == ("disturbed",)
    assert seconds.keys() == {"timer@pi", "timer@server", "judge"}
    # The evaluators are asked for what they know, on the device and with its setup.
    assert "pi asked for ['latency_ms']" in world.log
    assert "server asked for ['latency_ms', 'load_ms']" in world.log
    assert {"pi runs 1 threads", "server runs 2 threads"} <= set(world.log)


@on("world", [{"host": "m1"}], indirect=True)
def test_a_single_device_gives_plain_keys(
    world: World, context: EvaluationContext, candidate: Artifact
) -> None:
    with world.create(["latency_ms", "accuracy"], context) as evaluators:
        measured, seconds = evaluators.measure(candidate, "search")
    assert list(measured) == ["latency_ms", "accuracy"]
    assert seconds.keys() == {"timer", "judge"}


def test_only_devices_that_are_needed_are_connected_and_all_are_closed(
    world: World, context: EvaluationContext
) -> None:
    wanted = ["latency_ms@server", "other_load_ms@server", "accuracy"]
    with world.create(wanted, context, "timer other judge"):
        assert world.log == ["server connected"]
        world.log.clear()
    # Whoever uses the device is closed before it, and it is closed once.
    assert world.log == [
        "other of server closed",
        "timer of server closed",
        "server closed",
        "accuracy closed",
    ]


def test_what_was_connected_is_closed_when_another_device_is_not_there(
    world: World, context: EvaluationContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(spec: DeviceSpec) -> FakeDevice:
        if spec.name == "server":
            raise UserError("device 'server': nothing answers")
        return world.connect(spec)

    monkeypatch.setattr(suite, "connect", connect)
    with pytest.raises(UserError, match="device 'server': nothing answers"):
        world.create(["latency_ms@pi", "latency_ms@server"], context)
    assert world.log == ["pi connected", "timer of pi closed", "pi closed"]


def test_different_machines_measure_at_the_same_time(
    world: World, context: EvaluationContext, candidate: Artifact
) -> None:
    meeting = threading.Barrier(3)

    def meet() -> None:
        meeting.wait(_SECONDS)

    world.judge.looking = meet
    for device in world.devices.values():
        device.looking = meet
    with world.create(["latency_ms@pi", "latency_ms@server", "accuracy"], context) as evaluators:
        evaluators.measure(candidate, "search")


@on(
    "world",
    [{"a": "m1", "b": "m1", "c": machine_id()}, {"a": machine_id(), "b": machine_id()}],
    indirect=True,
)
def test_one_machine_measures_one_at_a_time(
    world: World, context: EvaluationContext, candidate: Artifact
) -> None:
    busy = {device.machine: threading.Lock() for device in world.devices.values()}

    def looking(machine: str) -> Callable[[], None]:
        def look() -> None:
            assert busy[machine].acquire(blocking=False), "two at once"
            # Gives whoever is not held back the chance to come in.
            threading.Event().wait(0.02)
            busy[machine].release()

        return look

    for device in world.devices.values():
        device.looking = looking(device.machine)
    world.judge.looking = looking(machine_id())
    wanted = ["accuracy"]
    wanted += [f"{p}latency_ms@{name}" for p in ("", "other_") for name in world.devices]
    with world.create(wanted, context, "timer other judge") as evaluators:
        for _ in range(3):
            evaluators.measure(candidate, "search")


def test_accuracy_comes_before_the_devices_of_this_host(
    world: World, context: EvaluationContext, candidate: Artifact
) -> None:
    world.devices["pi"].machine = machine_id()

    def refuse() -> None:
        raise Infeasible("outputs are NaN")

    world.judge.looking = refuse
    with world.create(["latency_ms@pi", "accuracy"], context) as evaluators:
        with pytest.raises(Infeasible, match="outputs are NaN"):
            evaluators.measure(candidate, "search")
        assert not [line for line in world.log if "runs" in line]


def test_a_rule_wins_over_a_device_that_failed_meanwhile(
    world: World, context: EvaluationContext, candidate: Artifact
) -> None:
    device_failed = threading.Event()

    def fail() -> None:
        device_failed.set()
        raise TransientError("cable pulled")

    def refuse() -> None:
        assert device_failed.wait(_SECONDS)
        raise Infeasible("outputs are NaN")

    world.devices["pi"].looking, world.judge.looking = fail, refuse
    wanted = ["latency_ms@pi", "latency_ms@server", "accuracy"]
    with world.create(wanted, context) as evaluators:
        with pytest.raises(Infeasible, match="outputs are NaN"):
            evaluators.measure(candidate, "search")
        # Nothing was cancelled, and all have ended.
        assert "server asked for ['latency_ms']" in world.log
        world.judge.looking = lambda: None
        with pytest.raises(TransientError, match="cable pulled"):
            evaluators.measure(candidate, "search")
