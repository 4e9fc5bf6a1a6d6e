"""What happens to real agents, while they measure, in the middle of the night."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from paretune.errors import CandidateError, TransientError
from paretune.evaluators.devices.http import HttpPlugin
from paretune.evaluators.devices.remote import RemoteDevice
from paretune.evaluators.measuring.job import MODEL, Job, Limits
from tests import models
from tests.disk import SmallDisk
from tests.evaluators.devices.network import Network
from tests.evaluators.devices.running import (
    MAIN,
    AgentProcess,
    Run,
    real_job,
    wait_until,
)

_JUMPING = """
import itertools, runpy, sys, time
jumps = itertools.cycle([0.0, 4e9, 1e9, 2e9])
time.time = lambda: next(jumps)
time.time_ns = lambda: int(1e9 * time.time())
module = sys.argv.pop(1)
runpy.run_module(module, run_name="__main__")
"""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start(stack: ExitStack, agent: AgentProcess, *, patience: float = 30) -> RemoteDevice:
    """A client of an agent; both end with the test."""
    stack.callback(agent.close)
    device = HttpPlugin.connect("pi", {**agent.options, "patience": patience})
    stack.callback(device.close)
    return device


def test_an_agent_that_is_killed_and_restarted_costs_nothing(
    stack: ExitStack, tmp_path: Path
) -> None:
    agent = AgentProcess(tmp_path)
    device = start(stack, agent)
    run = Run(device, real_job(tmp_path, seconds=0.5))
    wait_until(lambda: agent.measures)
    agent.kill()
    agent.start()
    assert run.finish().figures["load"].value > 0


def test_an_agent_that_stays_away_is_transient_and_welcome_back(
    stack: ExitStack, tmp_path: Path
) -> None:
    agent = AgentProcess(tmp_path)
    device = start(stack, agent, patience=0.3)
    run = Run(device, real_job(tmp_path, seconds=60))
    wait_until(lambda: agent.measures)
    agent.kill()
    with pytest.raises(TransientError, match=r"'pi' is away for more than 0\.3 s: .*refused"):
        run.finish()
    agent.start()
    assert device.run(real_job(tmp_path)).figures["load"].value > 0


def test_an_agent_that_hangs_is_transient(stack: ExitStack, tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path)
    device = start(stack, agent, patience=0.3)
    run = Run(device, real_job(tmp_path, seconds=60))
    wait_until(lambda: agent.measures)
    agent.hang()
    with pytest.raises(TransientError, match=r"'pi' is away .*timed out"):
        run.finish()


def test_a_candidate_that_ends_the_agent_is_not_tried_for_ever(
    stack: ExitStack, tmp_path: Path
) -> None:
    agent = AgentProcess(tmp_path)
    device = start(stack, agent)
    run = Run(device, real_job(tmp_path, seconds=60))
    for _ in range(3):
        wait_until(lambda: agent.measures)
        agent.kill()
        agent.start()
    with pytest.raises(CandidateError, match="was lost and came back 3 times"):
        run.finish()


def test_a_candidate_that_never_ends_is_to_blame_and_the_device_goes_on(
    stack: ExitStack, tmp_path: Path
) -> None:
    device = start(stack, AgentProcess(tmp_path))
    job = real_job(tmp_path)
    endless = models.endless(tmp_path / "endless.onnx")
    stuck = replace(job, files={**job.files, MODEL: str(endless)}, limits=Limits(1))
    with pytest.raises(CandidateError, match="'pi': .* took longer than 1 s and was ended"):
        device.run(stuck)
    assert device.run(job).figures["load"].value > 0


@pytest.mark.parametrize("lease", [1, 60], ids=["job is dropped", "job lives on"])
def test_a_cable_that_is_pulled_and_put_back_costs_nothing(
    stack: ExitStack, tmp_path: Path, lease: int
) -> None:
    network = Network()
    stack.callback(network.close)
    agent = AgentProcess(
        tmp_path, "--lease", str(lease), command=network.inside(MAIN), host=network.address
    )
    device = start(stack, agent)
    run = Run(device, real_job(tmp_path, seconds=2.5))
    wait_until(lambda: agent.measures)
    network.pull()
    if lease == 1:
        # Nobody asks for the result: the agent ends the measurement.
        wait_until(lambda: not agent.measures)
    else:
        run.join(0.5)
    network.plug()
    assert run.finish().figures["load"].value > 0


def test_a_cable_that_stays_away_is_transient(stack: ExitStack, tmp_path: Path) -> None:
    network = Network()
    stack.callback(network.close)
    agent = AgentProcess(tmp_path, command=network.inside(MAIN), host=network.address)
    device = start(stack, agent, patience=0.5)
    run = Run(device, real_job(tmp_path, seconds=60))
    wait_until(lambda: agent.measures)
    network.pull()
    with pytest.raises(TransientError, match=r"'pi' is away for more than 0\.5 s"):
        run.finish()


def large_job(folder: Path) -> Job:
    """Its model has 2 MiB."""
    job = real_job(folder)
    model = models.mlp(folder / "large.onnx", hidden=1 << 15)
    return replace(job, files={**job.files, MODEL: str(model)})


def test_a_full_disk_is_transient_and_says_so(stack: ExitStack, tmp_path: Path) -> None:
    disk = SmallDisk(tmp_path / "disk")
    stack.callback(disk.close)
    disk.fill(leave=1 << 20)
    device = start(stack, AgentProcess(disk.folder), patience=0.3)
    with pytest.raises(TransientError, match=r"'pi' is away .*disk is full"):
        device.run(large_job(tmp_path))


def test_a_disk_that_is_cleared_in_time_costs_nothing(stack: ExitStack, tmp_path: Path) -> None:
    disk = SmallDisk(tmp_path / "disk")
    stack.callback(disk.close)
    disk.fill(leave=1 << 20)
    device = start(stack, AgentProcess(disk.folder))
    run = Run(device, large_job(tmp_path))
    run.join(0.3)
    disk.clear()
    assert run.finish().figures["load"].value > 0


def test_a_clock_that_jumps_changes_nothing(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", iter([0.0, 4e9] * 10**6).__next__)
    agent = AgentProcess(
        tmp_path, "--lease", "5", command=[sys.executable, "-c", _JUMPING, *MAIN[2:]]
    )
    device = start(stack, agent)
    assert device.run(real_job(tmp_path, seconds=0.3)).figures["load"].value > 0
