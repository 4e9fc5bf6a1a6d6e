"""The worker's side: read a request, answer it, until the owner is gone."""

import fcntl
import os
import select
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from typing import IO

from paretune.evaluators.processes.frames import FrameKind, read_frame, write_frame

Note = Callable[[str], None]
"""Tells the owner what is being done now."""

_GRACE_SECONDS = 10


class Teller:
    """Tells the owner, in the middle of the work on a request; a `Note` that can do more."""

    def __init__(self, answers: IO[bytes], number: int) -> None:
        self._answers = answers
        self._number = number

    def __call__(self, text: str) -> None:
        """What is being done now."""
        write_frame(self._answers, FrameKind.NOTE, self._number, text.encode())

    def allow(self, seconds: float) -> None:
        """Replace the time limit: so many seconds from now on."""
        _end_after(seconds)
        write_frame(self._answers, FrameKind.TIME, self._number, b"%.3f" % seconds)


def serve(answer: Callable[[bytes, Teller], bytes]) -> None:
    """Answer every request on standard input; whatever else prints goes to standard error.

    The process waits in a blocking read. It ends with its owner, also in the middle of a request,
    and by itself some seconds after the time limit of a request.

    Args:
        answer: turns a request into its answer. What it raises ends the process.
    """
    requests, answers = _private_pipes()
    while (frame := read_frame(requests)) is not None:
        _, number, payload = frame
        seconds, request = float(payload[:16]), payload[16:]
        _end_after(seconds)
        with _signalled_when_closed(requests):
            result = answer(request, Teller(answers, number))
        signal.alarm(0)
        write_frame(answers, FrameKind.ANSWER, number, result)


@contextmanager
def _signalled_when_closed(requests: IO[bytes]) -> Iterator[None]:
    """SIGIO comes when the owner closes its end; until it is answered, it sends nothing."""
    fcntl.fcntl(requests, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(requests, fcntl.F_GETFL)
    fcntl.fcntl(requests, fcntl.F_SETFL, flags | os.O_ASYNC)
    poll = select.poll()
    poll.register(requests, 0)
    # Closed already.
    if poll.poll(0):
        sys.exit(1)
    yield
    fcntl.fcntl(requests, fcntl.F_SETFL, flags)


@contextmanager
def ended_with_owner() -> Iterator[None]:
    """This process ends when the other end of its standard input is closed, even in foreign code.

    Whoever reads standard input meanwhile finds nothing there.
    """
    with os.fdopen(os.dup(0), "rb") as owner:
        _close_input()
        if not stat.S_ISFIFO(os.fstat(owner.fileno()).st_mode):
            # Somebody started it by hand.
            yield
            return
        with _signalled_when_closed(owner):
            yield


def _end_after(seconds: float) -> None:
    # The default action of this signal, as of SIGIO, ends the process also in foreign code.
    signal.alarm(ceil(seconds) + _GRACE_SECONDS)


def _private_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Both pipes to the owner, out of reach of libraries that print or read."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    _close_input()
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return requests, answers


def _close_input() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
