"""What one client's jobs may hold of the device."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from paretune.errors import TransientError
from paretune.evaluators.devices.local import LocalDevice
from paretune.evaluators.measuring.job import Job, Setup
from tests.evaluators.devices.running import real_job

_SLEEPY = """
import time

class SleepyPlugin:
    @staticmethod
    def create(threads, options):
        time.sleep(1e4)
"""


@pytest.fixture
def device() -> Iterator[LocalDevice]:
    local = LocalDevice()
    yield local
    local.close()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return real_job(tmp_path / "job")


def processes() -> set[str]:
    tasks = Path("/proc/self/task").glob("*/children")
    return set(" ".join(path.read_text() for path in tasks).split())


def test_many_setups_share_few_processes(device: LocalDevice, job: Job) -> None:
    before = processes()
    for number in range(6):
        setup = Setup(options={"session": {"session.x": str(number)}})
        device.run(replace(job, setup=setup))
    assert len(processes() - before) == 4


def test_a_runtime_that_does_not_start_can_be_cancelled(
    device: LocalDevice, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "site" / "sleepy-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "sleepy.py").write_text(_SLEEPY)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sleepy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[paretune.runtimes]\nsleepy = sleepy:SleepyPlugin\n")
    monkeypatch.setenv("PYTHONPATH", str(info.parent))
    before = processes()
    with pytest.raises(TransientError, match="was cancelled"):
        device.run(replace(job, setup=Setup("sleepy")), cancelled=lambda: True)
    assert processes() == before
