"""The workers that one process looks after on this machine, and that process as its owner sees it.

It is a process of its own, in a session of its own: Ctrl-C is for the owner only, a script that
calls `paretune.tune` is not run again by what starts the workers, and nothing that Dask does there
takes the owner's time. It ends with its owner, and the workers with it, however they end.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from paretune.errors import UserError

GONE = ("worker-handle-scheduler-connection-broken", "scheduler-close")
"""Why workers have left that lost their scheduler, in Dask's words: it was killed, or ended."""

_COMMAND = (sys.executable, "-P", "-m", "paretune.search.cluster.nannies")
_CLOSE_S = 10.0
_GRACE_S = 0.5
_LAST_BYTES = 1 << 14


@dataclass(frozen=True)
class Staff:
    """Workers of a scheduler.

    Attributes:
        scheduler: its address.
        cores: those of each worker; there is one worker for each entry.
        folder: where Dask may write.
        name: begins the workers' names; None lets Dask name them.
        credentials: for the scheduler; None takes Dask's own configuration.
    """

    scheduler: str
    cores: tuple[tuple[int, ...], ...]
    folder: str
    name: str | None = None
    credentials: dict[str, str] | None = None

    @staticmethod
    def read(path: Path) -> "Staff":
        """What `write` wrote."""
        data: dict[str, Any] = json.loads(path.read_bytes())
        return Staff(**{**data, "cores": tuple(map(tuple, data["cores"]))})

    def write(self, path: Path) -> None:
        """For the eyes of the owner."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


class Supervisor:
    """The process that keeps a staff at work. A context manager."""

    def __init__(self, staff: Staff, log: Path) -> None:
        """Start it.

        Args:
            log: what it and the workers print is appended to it.
        """
        self.begun = time.monotonic()
        self._log = log
        order = Path(staff.folder) / "staff.json"
        staff.write(order)
        places = dict.fromkeys(place or str(Path.cwd()) for place in sys.path)
        with log.open("ab") as file:
            self._said = file.tell()
            self._process = subprocess.Popen(
                (*_COMMAND, str(order)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                # Workers find the user's modules where this process does.
                env={**os.environ, "PYTHONPATH": os.pathsep.join(places), "TMPDIR": staff.folder},
                start_new_session=True,
            )

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def wait(self, event: str) -> str:
        """Sleep until it tells of an event.

        Args:
            event: `ready` (all workers have begun) or `left` (none is wanted any more).

        Returns:
            what it says of it.

        Raises:
            UserError: it has ended instead.
        """
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            found, _, text = line.decode(errors="replace").strip().partition(" ")
            if found == event:
                return text
        raise UserError(f"the workers have ended: {self.last_words()}")

    def last_words(self) -> str:
        """The end of what it printed."""
        with self._log.open("rb") as log:
            log.seek(max(self._said, log.seek(0, os.SEEK_END) - _LAST_BYTES))
            lines = log.read().decode(errors="replace").strip().splitlines()
        return next((line for line in reversed(lines) if line.strip()), "they said nothing")

    def close(self) -> None:
        """End the workers, and it; once ended, nothing."""
        self._process.terminate()
        try:
            self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        if self._process.returncode:
            # It leads a group of its own, whose other members end and tidy up when it is killed.
            time.sleep(_GRACE_S)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
