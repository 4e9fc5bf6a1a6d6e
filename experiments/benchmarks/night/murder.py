"""Killing a worker while it is at a job."""

import os
import signal
import time
from contextlib import suppress

from distributed import Client

from experiments.benchmarks.kills.command import Command
from experiments.benchmarks.night.servers import Servers

_NOTICED_S = 0.2
_WAIT_S = 60.0


def kill_at_work(worker: Command, name: str, servers: Servers) -> int:
    """SIGKILL to all processes of a `paretune worker` of one worker.

    Args:
        name: by which Dask knows the worker.

    Returns:
        how many jobs the scheduler had given to it; 0 if it was never at one.
    """
    jobs = 0
    with Client(servers.address, set_as_default=False) as client:
        address = _address(client, name)
        deadline = time.monotonic() + _WAIT_S
        while not jobs and time.monotonic() < deadline:
            # Stopped, it ends nothing between the look and the kill.
            _signal(worker, signal.SIGSTOP)
            time.sleep(_NOTICED_S)
            jobs = len(client.processing()[address])
            if not jobs:
                _signal(worker, signal.SIGCONT)
                time.sleep(_NOTICED_S)
    _signal(worker, signal.SIGKILL)
    worker.process.wait()
    return jobs


def _address(client: Client, name: str) -> str:
    """Where a worker is; waits until it is there."""
    while True:
        there = client.scheduler_info(n_workers=-1)["workers"]
        for address, told in there.items():
            if told["id"] == name:
                return str(address)
        time.sleep(_NOTICED_S)


def _signal(worker: Command, number: signal.Signals) -> None:
    for process in worker.family():
        with suppress(ProcessLookupError):
            os.kill(process, number)
