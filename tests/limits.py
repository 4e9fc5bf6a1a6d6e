"""Limits of the system, set for a while."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def limit(kind: int, most: int) -> Iterator[None]:
    """Of this process and of those that it starts.

    Args:
        kind: such as `resource.RLIMIT_NOFILE`.
    """
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))
