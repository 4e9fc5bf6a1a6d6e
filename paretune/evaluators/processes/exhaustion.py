"""Telling that memory ran out, which runtimes have no exception of their own for."""

import re

from paretune.errors import CandidateError

_TEXT = re.compile(r"bad.alloc|(failed|cannot|unable) to allocate|out of memory", re.I)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is that memory ran out."""
    while error is not None:
        if isinstance(error, MemoryError) or _TEXT.search(str(error)):
            return True
        error = error.__cause__
    return False


def out_of_memory(limit: int | None) -> CandidateError:
    """The error to raise instead.

    Args:
        limit: bytes that the process may allocate, or None for no limit.
    """
    if limit is None:
        return CandidateError("there is not enough memory for it")
    return CandidateError(f"it needs more memory than the limit of {limit / 2**20:,.0f} MiB")
