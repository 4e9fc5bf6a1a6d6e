"""From a device's name in the config to the device."""

from pathlib import Path

import pytest

from paretune.errors import UserError
from paretune.evaluators.devices.connecting import connect
from paretune.evaluators.devices.device import DeviceSpec
from paretune.evaluators.devices.local import LocalDevice
from paretune.evaluators.measuring.conditions import machine_id
from tests.evaluators.devices.running import AgentProcess, real_job


def test_nothing_named_is_this_host() -> None:
    device = connect(DeviceSpec())
    assert isinstance(device, LocalDevice)
    device.close()


def test_an_agent_and_this_host_give_the_same(tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path)
    here, there = connect(DeviceSpec()), connect(DeviceSpec("pi", "http", agent.options))
    try:
        assert here.machine == there.machine == machine_id()
        job = real_job(tmp_path)
        local, remote = here.run(job), there.run(job)
        assert local.conditions == remote.conditions
        assert local.figures.keys() == remote.figures.keys()
        assert local.samples.keys() == remote.samples.keys()
    finally:
        here.close()
        there.close()
        agent.close()


def test_an_unknown_type_names_the_device_and_what_is_allowed() -> None:
    with pytest.raises(UserError, match=r"device 'pi': no plugin 'htp' .*nearest is 'http'"):
        connect(DeviceSpec("pi", "htp"))


def test_mistakes_in_the_options_name_the_device() -> None:
    with pytest.raises(UserError, match=r"device 'pi': the key 'url' is missing"):
        connect(DeviceSpec("pi", "http"))
