"""Giving freed memory back to the system."""

import ctypes
import sys


def return_freed_memory() -> None:
    """Let the C library give back what it keeps for later; does nothing where it cannot.

    Preparing frees several copies of a large model. Measured on MiniLM, glibc keeps 200 MB of them
    for the rest of the night.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
