"""A real `mlflow server` for tests and benchmarks, which may be stopped, frozen and replaced."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

_START_SECONDS = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class MlflowServer:
    """One worker on a SQLite database. A context manager.

    Args:
        folder: for the database, the artifacts and the log.
        database: an empty database of MLflow's to begin with; None lets the server make one, which
            takes seconds.
        port: of the loopback; None takes one that is free.
    """

    def __init__(self, folder: Path, database: Path | None = None, port: int | None = None) -> None:
        folder.mkdir()
        self._folder = folder
        self._port = port = free_port() if port is None else port
        if database is not None:
            shutil.copyfile(database, folder / "mlflow.db")
        self.artifacts = folder / "artifacts"
        self.database = f"sqlite:///{folder / 'mlflow.db'}"
        self.uri = f"http://127.0.0.1:{port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = {
            "--backend-store-uri": self.database,
            "--artifacts-destination": str(self.artifacts),
            "--host": "127.0.0.1",
            "--port": str(self._port),
            "--workers": "1",
        }
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", "server"),
                    *(word for option in options.items() for word in option),
                ],
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    "MLFLOW_DISABLE_TELEMETRY": "true",
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                },
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            said = (self._folder / "server.log").read_text(errors="replace")
            assert self._process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)

    def freeze(self) -> None:
        """It takes connections, but answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Nobody takes connections any more."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        # The one that was started starts the one that answers.
        os.killpg(self._process.pid, number)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
