"""A command on another host: a process of `ssh` that one talks to in lines, until a deadline."""

import os
import re
import select
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_SSH_FAILED = 255
_END_SECONDS = 5.0
_HUNG_UP = re.compile(r"(Shared c|C)onnection to .* closed( by remote host)?\.")


class LinkDown(Exception):
    """`ssh`, or what it runs, failed; the text is what it said."""


class SshSession:
    """Started at construction; the other side ends at the end of its input.

    Args:
        command: of `ssh`, with what it shall run.
        log: file for its errors.
        seconds: for all that is read.

    Raises:
        FileNotFoundError: there is no `ssh`.
    """

    def __init__(self, command: Sequence[str], log: Path, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self._log = log
        self._buffer = b""
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                # `select` does not see what a reader has buffered.
                bufsize=0,
                # Ctrl-C is for us; we end it.
                start_new_session=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def write(self, content: bytes) -> None:
        """Send to the command.

        Raises:
            LinkDown: it has ended.
        """
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[self._input.write(rest) :]
        except BrokenPipeError:
            raise self._down() from None

    def line(self, start: str) -> str:
        """The next line that begins with `start`.

        Others print too: a greeting, the start-up files of a shell.

        Raises:
            LinkDown: it has ended, or says nothing until the deadline.
        """
        while True:
            while b"\n" not in self._buffer:
                self._read()
            line, _, self._buffer = self._buffer.partition(b"\n")
            text = line.decode(errors="replace").strip()
            if text.startswith(start):
                return text

    def last_words(self) -> str:
        """Close it, so that all its errors have come; the last line of them.

        That `ssh` was hung up on says less than what the other side said before it did.
        """
        self.close()
        text = self._log.read_text(errors="replace").strip()
        lines = [line.strip() for line in text.splitlines()]
        said = [line for line in lines if not _HUNG_UP.fullmatch(line)]
        return next(reversed(said or lines), "it said nothing")

    def close(self) -> None:
        """End both sides."""
        with suppress(BrokenPipeError):
            self._input.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()

    def _read(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0 or not select.select([self._output], [], [], left)[0]:
            raise LinkDown("it does not answer in time")
        part = os.read(self._output.fileno(), 1 << 16)
        if not part:
            raise self._down()
        self._buffer += part

    def _down(self) -> LinkDown:
        words = self.last_words()
        who = "ssh" if self._process.returncode == _SSH_FAILED else "the agent"
        return LinkDown(f"{who} ended: {words}")
