"""Several devices: names, who is asked, who is connected and closed."""

import pytest

from paretune.errors import UserError
from paretune.evaluators import Artifact, EvaluationContext, EvaluatorSuite, suite
from paretune.evaluators.devices.device import DeviceSpec
from tests.evaluators.fake_world import FakeDevice, World, world

__all__ = ["world"]

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


@pytest.mark.parametrize("world", [{"host": "m1"}], indirect=True)
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
