"""A `paretune` command as a process of its own: how far it is, and killing it there."""

import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Literal

Victim = Literal["driver", "child", "both"]

_MARK = "PARETUNE_KILLS"
_POLL_S = 0.005


class Phase(StrEnum):
    """What the command is busy with, in this order."""

    IMPORT = "import"
    PREPARE = "prepare"
    SEARCH = "search"
    CONFIRM = "confirm"
    TEST = "test"
    MLFLOW = "mlflow"
    OUTPUTS = "outputs"
    PICK = "pick"

    @property
    def place(self) -> int:
        return list(Phase).index(self)


class Command:
    """`python -m paretune ARGUMENTS`, with all the processes that it starts.

    Args:
        study: the folder that it works on.
        said: file for what it prints.
        temporary: folder for its temporary files.
        cwd: where it runs.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        study: Path,
        said: Path,
        temporary: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._picks = arguments[0] == "pick"
        self._study = study
        self._said = said
        self._abandoned = set(study.glob(".outputs-*"))
        self._mark = f"{_MARK}={secrets.token_hex(8)}"
        temporary.mkdir(parents=True, exist_ok=True)
        name, _, value = self._mark.partition("=")
        with said.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "paretune", *arguments],
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, **(env or {}), name: value, "TMPDIR": str(temporary)},
            )

    @property
    def output(self) -> str:
        return self._said.read_text(encoding="utf-8", errors="replace")

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def family(self) -> list[int]:
        """The process and all that descend from it, whoever is their parent now."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if self._mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found

    def phase(self) -> Phase:
        """How far it is, by what it has written."""
        if self._picks:
            return Phase.PICK
        said = f"\n{self.output}"
        if "\nsearch: " not in said:
            return Phase.PREPARE if self._has_lock() else Phase.IMPORT
        if not (self._study / "scratch").exists():
            return (
                Phase.OUTPUTS
                if set(self._study.glob(".outputs-*")) - self._abandoned
                else Phase.MLFLOW
            )
        if "\ntest: " in said:
            return Phase.TEST
        return Phase.CONFIRM if "\nconfirm: " in said else Phase.SEARCH

    def wait_for(self, phase: Phase, seconds: float) -> bool:
        """Wait for so many seconds of a phase, at most; False if the command ended before.

        A later phase ends the waiting, too.
        """
        while self.running and self.phase().place < phase.place:
            time.sleep(_POLL_S)
        deadline = time.monotonic() + seconds
        while self.running and self.phase() is phase and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return self.running

    def kill(self, victim: Victim, draw: random.Random) -> Victim:
        """SIGKILL to the driver, one of its children, or all; returns whom it hit."""
        # Stopped, it starts no process between the look and the kill.
        os.kill(self.process.pid, signal.SIGSTOP)
        children = [pid for pid in self.family() if pid != self.process.pid]
        if victim == "child" and not children:
            victim = "driver"
        hit = children if victim == "both" else []
        hit = [draw.choice(children)] if victim == "child" else [*hit, self.process.pid]
        for pid in hit:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if victim == "child":
            os.kill(self.process.pid, signal.SIGCONT)
        else:
            self.process.wait()
        return victim

    def left_over(self, seconds: float = 30.0) -> float:
        """Wait until no process of it is left; returns how long that took.

        Raises:
            TimeoutError: some process does not end.
        """
        begin = time.monotonic()
        while family := self.family():
            if time.monotonic() > begin + seconds:
                told = [Path(f"/proc/{pid}/cmdline").read_text().split("\0") for pid in family]
                raise TimeoutError(f"after {seconds:g} s there are still {told}")
            time.sleep(_POLL_S)
        return time.monotonic() - begin

    def _has_lock(self) -> bool:
        with suppress(FileNotFoundError):
            holder = (self._study / "study.lock").read_text(encoding="utf-8")
            return f"process {self.process.pid} " in holder
        return False
