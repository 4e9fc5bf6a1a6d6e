"""Several devices: who measures at the same time, who first, and whose failure is told."""

import threading
from collections.abc import Callable

import pytest

from paretune.errors import Infeasible, TransientError
from paretune.evaluators import Artifact, EvaluationContext
from paretune.evaluators.measuring.conditions import machine_id
from tests.evaluators.fake_world import World, world

__all__ = ["world"]

_SECONDS = 30.0


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


@pytest.mark.parametrize(
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
