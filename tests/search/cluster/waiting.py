"""Waiting for what other processes do."""

import time
from collections.abc import Callable

import psutil

WAIT_S = 60.0
"""More than anything takes on a slow machine."""


def until(reached: Callable[[], bool]) -> None:
    """Sleep until something is so; fail if it never is."""
    deadline = time.monotonic() + WAIT_S
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def runs(process_id: int) -> bool:
    """Whether there is such a process, and not only its corpse."""
    try:
        return bool(psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
