"""Real agents in processes of their own, and real jobs for them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import numpy as np

from paretune.evaluators.arrays import save_arrays
from paretune.evaluators.devices.device import Device
from paretune.evaluators.measuring.job import INPUTS, MODEL, Job, Limits, Setup
from paretune.evaluators.measuring.result import Result
from tests import models

TOKEN = "a-token-that-nobody-guesses"
MAIN = (sys.executable, "-m", "paretune.evaluators.devices.agent.main", "serve")


class AgentProcess:
    """An agent; started anew it is the same one: its port, its folder.

    Args:
        folder: for its files and its log.
        arguments: for `serve`.
        command: that runs `serve`.
        env: added to its environment.
        host: address that it listens at.
        token: that it wants.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        command: Sequence[str] = MAIN,
        env: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        token: str = TOKEN,
    ) -> None:
        self.folder = folder / "agent"
        self.log = folder / "agent.log"
        self._command = [
            *(*command, "--folder", str(self.folder), "--host", host, *arguments),
            *("--token-file", "-", "--exit-with-stdin"),
        ]
        self._env = {**os.environ, **(env or {})}
        self._token = token
        self.url = ""
        self.start()

    @property
    def options(self) -> dict[str, str]:
        """Of the device `http`."""
        return {"url": self.url, "token": self._token}

    def start(self) -> None:
        """Start it, and wait until it answers."""
        port = str(urlsplit(self.url).port or 0)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._command, "--port", port],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._env,
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{self._token}\n".encode())
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        self.url = json.loads(line)["url"]

    @property
    def measures(self) -> bool:
        """Whether it has a process that measures."""
        process_id = self.process.pid
        tasks = Path(f"/proc/{process_id}/task").glob("*/children")
        children = " ".join(path.read_text() for path in tasks).split()
        commands = [Path(f"/proc/{child}/cmdline").read_bytes() for child in children]
        return any(b"measuring.worker" in command for command in commands)

    def kill(self) -> None:
        """As when the power fails; its measuring process goes with it."""
        self.process.kill()
        self.process.communicate()

    def hang(self) -> None:
        """It answers no more, but its connections stand, as when the cable is pulled."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """The cable is back."""
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it."""
        self.go_on()
        self.process.communicate()


def wait_until(true: Callable[[], object], seconds: float = 30) -> None:
    """Wait for others; fails if it takes too long."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Run(Thread):
    """A job that runs while the test goes on.

    Attributes:
        result, error: of it, once `finish` returns.
    """

    def __init__(self, device: Device, job: Job) -> None:
        super().__init__()
        self.result: Result | None = None
        self.error: Exception | None = None
        self._device, self._job = device, job
        self.start()

    def run(self) -> None:
        try:
            self.result = self._device.run(self._job)
        except Exception as error:  # noqa: BLE001 - shown by the test
            self.error = error

    def finish(self) -> Result:
        """The result; raises what the device raised."""
        self.join(60)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result


def real_job(folder: Path, *, seconds: float = 0.0) -> Job:
    """A small model to load again and again, in a measuring process.

    Args:
        seconds: that it takes at least.
    """
    folder.mkdir(exist_ok=True)
    model = models.mlp(folder / "model.onnx")
    save_arrays(folder / "inputs.npz", {"x": np.ones((1, 8), np.float32)})
    files = {MODEL: str(model), INPUTS: str(folder / "inputs.npz")}
    options = {"least": 1, "most": 1 << 30, "seconds": seconds}
    return Job("load", Setup(), files, options, Limits(60))
