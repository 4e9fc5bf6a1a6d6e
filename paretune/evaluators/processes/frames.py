"""Frames: how a worker process and its owner tell messages apart in a pipe."""

import struct
from enum import IntEnum
from typing import Protocol

_HEAD = struct.Struct(">BIQ")


class FrameKind(IntEnum):
    """What a frame is."""

    REQUEST = 1
    """To the worker."""

    NOTE = 2
    """From the worker, in the middle of its work: text about what it does."""

    ANSWER = 3
    """From the worker: the end of its work on the request of the same number."""

    TIME = 4
    """From the worker, in the middle of its work: the seconds that it may take from now on."""


class Readable(Protocol):
    """May give less than asked for; nothing at its end."""

    def read(self, size: int, /) -> bytes: ...


class Writable(Protocol):
    """May take less than given; tells how much."""

    def write(self, data: memoryview, /) -> int: ...
    def flush(self) -> None: ...


def write_frame(pipe: Writable, kind: FrameKind, number: int, payload: bytes) -> None:
    """Send a frame.

    Args:
        number: of the request; 32 bits.
    """
    rest = memoryview(_HEAD.pack(kind, number, len(payload)) + payload)
    while rest:
        rest = rest[pipe.write(rest) :]
    pipe.flush()


def read_frame(pipe: Readable) -> tuple[FrameKind, int, bytes] | None:
    """Wait for a frame; None at the end of the pipe, also in the middle of a frame."""
    head = _read(pipe, _HEAD.size)
    if head is None:
        return None
    kind, number, length = _HEAD.unpack(head)
    payload = _read(pipe, length)
    return None if payload is None else (FrameKind(kind), number, payload)


def _read(pipe: Readable, size: int) -> bytes | None:
    parts = []
    while size:
        part = pipe.read(size)
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
