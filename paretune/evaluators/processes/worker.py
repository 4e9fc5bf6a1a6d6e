"""The owner's side of a worker process: start it, ask it, end it when it goes beyond its limits."""

import os
import resource
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from paretune.errors import CandidateError, TransientError
from paretune.evaluators.processes.frames import FrameKind, read_frame, write_frame

_OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
"""What others kill processes with (the kernel out of memory, an admin); the candidate cannot."""

_FATAL = "Fatal Python error: "
_FAULTS = {
    "Floating point exception": signal.SIGFPE,
    "Segmentation fault": signal.SIGSEGV,
    "Bus error": signal.SIGBUS,
    "Illegal instruction": signal.SIGILL,
    "Aborted": signal.SIGABRT,
}
"""By Python's own last words."""

_MOST_REQUESTS = 1 << 32
_LAST_SECONDS = 10.0
_LAST_BYTES = 1 << 14


class Worker:
    """A child process that answers one request at a time. Once dead it stays dead.

    Args:
        command: starts it; it calls `serving.serve`.
        log: file that what it prints is appended to; the end of that is shown when it dies.
        name: for messages.
        memory: bytes that it may allocate (on Linux); None for no limit.
        env: its environment; by default this process's.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        name: str,
        memory: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._log = log
        self._name = name
        self._number = 0
        self._ended = False
        with log.open("ab") as file:
            self._said = file.tell()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                # Polling does not see what a reader has buffered.
                bufsize=0,
                env=env,
                # Ctrl-C is for the owner, which closes its workers when it is done.
                start_new_session=True,
            )
        _restrict(self._process.pid, memory)

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(
        self,
        request: bytes,
        *,
        seconds: float,
        on_note: Callable[[str], None] = lambda _: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> bytes:
        """Send a request and sleep until it is answered.

        Args:
            seconds: after so long the worker is killed, unless it asks for more time itself.
            on_note: is told what the worker says that it does.
            cancelled: asked once a second; when true, the worker is killed.

        Raises:
            CandidateError: it crashed, or was killed at its time limit; the request is to blame.
            TransientError: it was killed from outside, or `cancelled`.
        """
        if self._ended:
            raise TransientError(f"{self._name} is closed")
        self._number = (self._number + 1) % _MOST_REQUESTS
        doing = ""
        deadline = time.monotonic() + seconds

        def wait(pipe: IO[bytes], event: int) -> None:
            while not _is_ready(pipe, event, min(deadline - time.monotonic(), 1.0)):
                if time.monotonic() >= deadline:
                    raise CandidateError(
                        f"{self._name}{_while(doing)} took longer than {seconds:g} s and was ended"
                    )
                # Without its end being seen: a process that it forked holds the pipe, too.
                if not self.alive:
                    raise BrokenPipeError
                if cancelled():
                    raise TransientError(f"{self._name} was cancelled")

        requests, answers = self._pipes(wait)
        try:
            write_frame(requests, FrameKind.REQUEST, self._number, b"%-16.3f" % seconds + request)
            while True:
                frame = read_frame(answers)
                if frame is None:
                    raise BrokenPipeError
                kind, number, payload = frame
                if kind is FrameKind.ANSWER and number == self._number:
                    return payload
                if kind is FrameKind.TIME:
                    seconds = float(payload)
                    deadline = time.monotonic() + seconds
                elif kind is FrameKind.NOTE:
                    doing = payload.decode(errors="replace")
                    on_note(doing)
        except BrokenPipeError:
            raise self._autopsy(doing) from None
        except BaseException:
            # Interrupted too: a late answer must not be taken for that to the next request.
            self.close()
            raise

    def close(self) -> None:
        """End the process and those that it forked; once dead, nothing."""
        if self._ended:
            return
        self._ended = True
        # It leads a group of its own.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()

    def _pipes(self, wait: "_Wait") -> tuple["_Patient", "_Patient"]:
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        return _Patient(requests, wait), _Patient(answers, wait)

    def _autopsy(self, doing: str) -> CandidateError | TransientError:
        who = f"{self._name}{_while(doing)}"
        try:
            code = self._process.wait(_LAST_SECONDS)
        except subprocess.TimeoutExpired:
            return CandidateError(f"{who} hung while it ended: {self._last_words()}")
        finally:
            self.close()
        words = self._last_words()
        end = f"ended with exit code {code}"
        if code < 0:
            # While Python tells of a fault it may meet another: the first is the cause.
            fault = _FAULTS.get(words.removeprefix(_FATAL), signal.Signals(-code))
            end = f"was killed by {fault.name}"
        text = f"{who} {end}: {words}"
        outside = code == 0 or -code in _OUTSIDE
        return TransientError(text) if outside else CandidateError(text)

    def _last_words(self) -> str:
        with self._log.open("rb") as log:
            log.seek(max(self._said, log.seek(0, os.SEEK_END) - _LAST_BYTES))
            lines = log.read().decode(errors="replace").strip().splitlines()
        # Python's own last words are many.
        fatal = [line for line in lines if line.startswith(_FATAL)]
        return [*fatal[:1], *lines[-1:], "it said nothing"][0]


_Wait = Callable[[IO[bytes], int], None]
"""Returns when a pipe is ready for an event of `select.poll`."""


class _Patient:
    """A pipe that never blocks: it waits first, and waiting may raise."""

    def __init__(self, pipe: IO[bytes], wait: _Wait) -> None:
        self._pipe = pipe
        self._wait = wait

    def read(self, size: int) -> bytes:
        self._wait(self._pipe, select.POLLIN)
        return self._pipe.read(size)

    def write(self, data: memoryview) -> int:
        self._wait(self._pipe, select.POLLOUT)
        # So much a pipe that is ready takes at once.
        return self._pipe.write(data[: select.PIPE_BUF])

    def flush(self) -> None:
        """Nothing is kept back."""


def _is_ready(pipe: IO[bytes], event: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(pipe, event)
    return bool(poll.poll(max(seconds, 0) * 1000))


def _while(doing: str) -> str:
    return f" ({doing})" if doing else ""


def _restrict(process_id: int, memory: int | None) -> None:
    if not hasattr(resource, "prlimit"):
        return
    try:
        if memory is not None:
            resource.prlimit(process_id, resource.RLIMIT_DATA, (memory, memory))
        resource.prlimit(process_id, resource.RLIMIT_CORE, (0, 0))
        # Where memory runs out in spite of all limits, the kernel ends the worker, not its owner.
        Path(f"/proc/{process_id}/oom_score_adj").write_text("1000")
    except (ProcessLookupError, FileNotFoundError, PermissionError):
        # Already dead, which the first request will tell; or not allowed to restrict.
        return
