"""This host as a device: real models that break the measuring process, and what comes after."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import paretune
from paretune.errors import (
    CandidateError,
    InferenceError,
    TransientError,
    UserError,
)
from paretune.evaluators.arrays import save_arrays
from paretune.evaluators.devices.device import GROUP
from paretune.evaluators.devices.local import LocalDevice, LocalPlugin
from paretune.evaluators.measuring.conditions import machine_id
from paretune.evaluators.measuring.job import INPUTS, MODEL, Job, Kind, Limits, Setup
from paretune.plugins import load_plugin
from tests import models
from tests.evaluators.devices import faulty

MIB = 1 << 20
QUICK = {"least": 1, "seconds": 0}


@pytest.fixture
def device() -> Iterator[LocalDevice]:
    local = LocalDevice()
    yield local
    local.close()


class Jobs:
    """Writes jobs for models in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = models.mlp(folder / "model.onnx")
        self._inputs = folder / "inputs.npz"
        save_arrays(self._inputs, {"x": np.ones((1, 8), np.float32)})

    def copy(self, name: str) -> Path:
        path = self.folder / f"{name}.onnx"
        shutil.copy(self.model, path)
        return path

    def job(
        self,
        model: Path | None = None,
        *,
        kind: Kind = "load",
        setup: Setup | None = None,
        seconds: float = 60,
        memory: int | None = None,
    ) -> Job:
        files = {MODEL: str(model or self.model), INPUTS: str(self._inputs)}
        return Job(kind, setup or Setup(), files, QUICK, Limits(seconds, memory))


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path)


@pytest.fixture
def faulty_setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    faulty.install(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    return Setup("faulty")


def children() -> list[int]:
    return [
        int(child)
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def test_a_job_gives_figures_samples_and_conditions(device: LocalDevice, jobs: Jobs) -> None:
    job = jobs.job()
    result = device.run(job)
    assert result.figures.keys() == {"load", "first_run"}
    for name, figure in result.figures.items():
        assert 0 < figure.low <= figure.value <= figure.high < 60
        assert len(result.samples[name]) == 1
    assert result.conditions["runtime"] == "onnxruntime CPUExecutionProvider"
    assert result.conditions["cpus"] == sorted(os.sched_getaffinity(0))[-1:]


def test_jobs_of_a_setup_share_a_process(device: LocalDevice, jobs: Jobs) -> None:
    for _ in range(2):
        device.run(jobs.job())
    (first,) = children()
    device.run(jobs.job(setup=Setup(threads=2)))
    assert len(children()) == 2
    device.run(jobs.job())
    assert first in children()
    assert len(children()) == 2


def test_a_memory_job_has_a_fresh_process(device: LocalDevice, jobs: Jobs) -> None:
    device.run(jobs.job())
    kept = children()
    seen: list[int] = []
    for _ in range(2):
        device.run(jobs.job(kind="memory"), on_note=lambda _: seen.extend(children()))
    assert not set(seen) & set(kept)
    assert len(set(seen)) == 2
    assert children() == []


def test_another_memory_limit_needs_another_process(device: LocalDevice, jobs: Jobs) -> None:
    processes = []
    for memory in (None, 1024 * MIB, 1024 * MIB, None):
        device.run(jobs.job(memory=memory))
        processes += children()
    assert len(processes) == 4
    assert processes[1] == processes[2]
    assert len(set(processes)) == 3


def test_a_refused_model_costs_nothing_else(device: LocalDevice, jobs: Jobs) -> None:
    broken = jobs.folder / "broken.onnx"
    broken.write_text("no model")
    device.run(jobs.job())
    before = children()
    with pytest.raises(InferenceError, match=r"ONNX Runtime cannot load '.*broken.onnx'"):
        device.run(jobs.job(broken))
    device.run(jobs.job())
    assert children() == before


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("segfault", r"the measuring process \(loads the model\) was killed by SIGSEGV"),
        ("hang", r"the measuring process \(loads the model\) took longer than 1 s and was ended"),
        ("hoard", "it needs more memory than the limit of 512 MiB"),
        ("careless", r"the measuring process \(loads the model\) was killed by SIGSEGV"),
        ("raise", "exit code 1: RuntimeError: that was not planned"),
    ],
)
def test_a_model_that_breaks_its_runtime_costs_only_itself(
    device: LocalDevice, jobs: Jobs, faulty_setup: Setup, fault: str, message: str
) -> None:
    good = jobs.job(setup=faulty_setup, memory=512 * MIB)
    device.run(good)
    before = children()
    # Long enough for the others on a slow machine.
    seconds = 1 if fault == "hang" else 60
    bad = jobs.job(jobs.copy(fault), setup=faulty_setup, seconds=seconds, memory=512 * MIB)
    with pytest.raises(CandidateError, match=message) as caught:
        device.run(bad)
    assert caught.type is CandidateError
    assert device.run(good).figures["load"].value > 0
    assert not set(children()) & set(before)


def test_a_real_model_that_allocates_without_end(device: LocalDevice, jobs: Jobs) -> None:
    path = models.hoarding(jobs.folder / "hoarding.onnx")
    with pytest.raises(CandidateError, match="it needs more memory than the limit of 512 MiB"):
        device.run(jobs.job(path, memory=512 * MIB))
    device.run(jobs.job(memory=512 * MIB))


def test_a_real_model_that_practically_never_ends(device: LocalDevice, jobs: Jobs) -> None:
    path = models.endless(jobs.folder / "endless.onnx")
    with pytest.raises(CandidateError, match="took longer than 1 s and was ended"):
        device.run(jobs.job(path, seconds=1))
    device.run(jobs.job())


def test_a_process_that_was_killed_in_between_is_replaced(device: LocalDevice, jobs: Jobs) -> None:
    device.run(jobs.job())
    (process,) = children()
    os.kill(process, signal.SIGKILL)
    while children_running() != []:
        time.sleep(0.01)
    device.run(jobs.job())
    assert children() != [process]


def children_running() -> list[int]:
    """Those that are not merely waiting to be collected."""
    stats = {c: Path(f"/proc/{c}/stat").read_text() for c in children()}
    return [c for c, stat in stats.items() if stat.rpartition(")")[2].split()[0] != "Z"]


def test_a_process_that_is_killed_meanwhile_may_be_tried_again(
    device: LocalDevice, jobs: Jobs, faulty_setup: Setup
) -> None:
    job = jobs.job(jobs.copy("hang"), setup=faulty_setup)
    with pytest.raises(TransientError, match="was killed by SIGKILL"):
        device.run(job, on_note=lambda _: os.kill(children()[0], signal.SIGKILL))
    device.run(jobs.job(setup=faulty_setup))


def test_a_cancelled_job_ends_at_once(device: LocalDevice, jobs: Jobs, faulty_setup: Setup) -> None:
    cancel = threading.Event()
    with pytest.raises(TransientError, match="the measuring process was cancelled"):
        device.run(
            jobs.job(jobs.copy("hang"), setup=faulty_setup),
            on_note=lambda _: cancel.set(),
            cancelled=cancel.is_set,
        )
    device.run(jobs.job(setup=faulty_setup))


def test_one_job_at_a_time(device: LocalDevice, jobs: Jobs) -> None:
    other = jobs.job(setup=Setup(threads=2))
    device.run(other)
    noted: list[str] = []
    second = threading.Thread(target=device.run, args=(other,), kwargs={"on_note": noted.append})

    def begin(_: str) -> None:
        second.start()
        second.join(0.3)
        assert noted == []

    device.run(jobs.job(), on_note=begin)
    second.join()
    assert noted != []


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        (Setup("onnxrutime"), "no plugin 'onnxrutime' .*nearest is 'onnxruntime'"),
        (Setup(options={"provder": "x"}), "unknown option 'provder'; nearest is 'provider'"),
        (Setup(cpus=(0, 9999)), "'cpus' holds 9999, but a measuring process here may use only "),
    ],
)
def test_what_a_device_cannot_do_is_the_users(
    device: LocalDevice, jobs: Jobs, setup: Setup, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        device.run(jobs.job(setup=setup))
    device.run(jobs.job())


def test_a_runtime_that_does_not_start_is_not_the_candidates_fault(
    device: LocalDevice, jobs: Jobs, faulty_setup: Setup
) -> None:
    broken = replace(faulty_setup, options={"fault": "start"})
    with pytest.raises(TransientError, match="runtime 'faulty' did not start: .* by SIGSEGV"):
        device.run(jobs.job(setup=broken))
    with pytest.raises(TransientError, match="'onnxruntime' did not start in 40 MiB of memory: "):
        device.run(jobs.job(memory=40 * MIB))
    device.run(jobs.job())


def test_closing_leaves_neither_process_nor_files(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    device = LocalDevice()
    device.run(jobs.job())
    assert len(list(folder.iterdir())) == 1
    device.close()
    assert list(folder.iterdir()) == []
    assert children() == []


def test_the_plugin_has_no_options_of_its_own() -> None:
    plugin = load_plugin(GROUP, "local")
    assert plugin is LocalPlugin
    device = plugin.connect("host", {})
    assert device.machine == machine_id()
    device.close()
    with pytest.raises(
        UserError, match="device 'host': unknown key 'thread'; nearest is 'threads'; allowed are ty"
    ):
        plugin.connect("host", {"thread": 2})


def test_from_an_archive_the_measuring_process_is_the_archives(tmp_path: Path) -> None:
    archive = tmp_path / "paretune.pyz"
    home = Path(paretune.__path__[0])
    with zipfile.ZipFile(archive, "w") as file:
        for path in home.rglob("*.py"):
            file.write(path, path.relative_to(home.parent))
        file.writestr(
            "__main__.py",
            "import subprocess, sys\n"
            "from paretune.evaluators.devices.local import measuring_environment\n"
            "from paretune.evaluators.measuring.job import Setup\n"
            "code = 'import os, paretune; print(paretune.__path__[0]);"
            ' print(os.environ["OMP_NUM_THREADS"])\'\n'
            "command = (sys.executable, '-P', '-c', code)\n"
            "sys.exit(subprocess.run(command, env=measuring_environment(Setup(threads=3)))"
            ".returncode)\n",
        )
    done = subprocess.run(
        [sys.executable, str(archive)], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.splitlines() == [str(archive / "paretune"), "3"]
