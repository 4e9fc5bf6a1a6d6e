"""Ctrl-C and its kin: the first asks for a clean end, the second ends at once."""

import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What asks a program to end: Ctrl-C, whoever manages the machine, the terminal that is closed."""


class Aborted(KeyboardInterrupt):
    """A signal ended the work at once.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Interrupt:
    """While entered, the first of `SIGNALS` only sets `requested`.

    The second raises `Aborted` wherever the program is, unless it is SIGHUP: of a terminal that is
    closed both the kernel and the shell may tell. Outside the main thread, where Python takes no
    signals, it does nothing; and a signal that is ignored, as under `nohup`, stays so.
    """

    def __init__(self, on_first: Callable[[], None]) -> None:
        """Args:
        on_first: says that the end is near.
        """
        self.requested = False
        self._on_first = on_first
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(_handled_by(self._handle))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            _leave_terminal()
        if not self.requested:
            self.requested = True
            # It came while the same stream was written to, or that is closed.
            with suppress(RuntimeError, OSError):
                self._on_first()
        elif number != signal.SIGHUP:
            raise Aborted(number)


@contextmanager
def aborting() -> Iterator[None]:
    """Each of `SIGNALS` raises `Aborted`, as Ctrl-C raises `KeyboardInterrupt` anyway."""
    with _handled_by(_abort):
        yield


def _abort(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGHUP:
        _leave_terminal()
    raise Aborted(number)


@contextmanager
def _handled_by(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    here = threading.current_thread() is threading.main_thread()
    previous = {number: signal.getsignal(number) for number in SIGNALS} if here else {}
    taken = {n: found for n, found in previous.items() if found not in (signal.SIG_IGN, None)}
    for number in taken:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, found in taken.items():
            signal.signal(number, found)


def _leave_terminal() -> None:
    """To write to a terminal that is closed is an error, which must not end the search."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        with suppress(OSError):
            # It does not say any more that it is a terminal.
            if stat.S_ISCHR(os.fstat(stream).st_mode):
                os.dup2(nothing, stream)
    os.close(nothing)
