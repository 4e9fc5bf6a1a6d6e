"""A Dask scheduler in a process of its own, on the loopback."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

_START_S = 60.0


class Scheduler:
    """`dask scheduler`. A context manager."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "scheduler.json"
        self._log = folder / "scheduler.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1"),
                    *(
                        "--port",
                        "0",
                        "--dashboard-address",
                        "127.0.0.1:0",
                        "--scheduler-file",
                        str(self._file),
                    ),
                ],
                stdout=log,
                stderr=log,
                cwd=folder,
            )

    def address(self) -> str:
        """Wait until it tells where it is."""
        deadline = time.monotonic() + _START_S
        while True:
            try:
                return str(json.loads(self._file.read_text())["address"])
            except (FileNotFoundError, json.JSONDecodeError):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(self._log.read_text()) from None
                time.sleep(0.05)

    def end(self) -> None:
        """As with Ctrl-C."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(_START_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
