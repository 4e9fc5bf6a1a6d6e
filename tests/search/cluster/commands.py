"""A real scheduler and real workers, started by their commands."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.search.cluster.waiting import until

START_S = 60


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A process that talks on standard error, ended with the test."""
    with subprocess.Popen(
        [sys.executable, *command], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def worker(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`paretune worker`, and the first that it says."""
    run = "from paretune.search.cli.main import run; run()"
    with started("-W", "error", "-c", run, "worker", *arguments) as process:
        assert process.stderr is not None
        yield process, process.stderr.readline().strip()


def rest(process: subprocess.Popen[str]) -> str:
    said = process.communicate(timeout=START_S)[1].strip()
    assert process.returncode == 0, said
    return said


@contextmanager
def dask_scheduler(folder: Path, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`dask scheduler` on loopback, and its address."""
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    arguments = ("--host", "127.0.0.1", "--port", str(port), "--dashboard-address", "127.0.0.1:0")
    with started(
        "-m", "distributed.cli.dask_scheduler", *arguments, "--scheduler-file", str(file)
    ) as process:
        until(lambda: file.exists() and file.read_text().rstrip().endswith("}"))
        yield process, yaml.safe_load(file.read_text())["address"]
