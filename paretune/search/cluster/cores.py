"""Which cores workers run on, so that they share none with each other or with a measurement."""

import os
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from paretune.errors import UserError

_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"

Siblings = Callable[[int], Set[int]]
"""The cores, itself included, that share the hardware of a core (hyper-threads)."""


def allowed_cores() -> tuple[int, ...]:
    """The cores that this process may use, in order."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def siblings(core: int) -> Set[int]:
    """The hyper-threads of one core, as Linux tells them; elsewhere only itself."""
    try:
        return read_cores(Path(_TOPOLOGY.format(core)).read_text())
    except (OSError, ValueError):
        return {core}


def read_cores(text: str) -> Set[int]:
    """Read Linux's spelling of a set of cores, such as `0-2,8`."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def split_cores(
    allowed: Sequence[int], reserved: int, siblings: Siblings = siblings
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Keep the last cores for what is measured on this machine, as a measuring process takes them.

    Args:
        allowed: the cores of this process, in order.
        reserved: how many to keep.

    Returns:
        the cores that are left for others, maybe none, and those that are kept. Hyper-threads of
        the kept ones are neither, unless nothing else would be left.
    """
    count = max(len(allowed) - reserved, 0)
    left, kept = tuple(allowed[:count]), tuple(allowed[count:])
    return without(left, kept, siblings) or left, kept


def without(
    cores: Sequence[int], kept: Sequence[int], siblings: Siblings = siblings
) -> tuple[int, ...]:
    """The cores that share no hardware with the kept ones."""
    busy = frozenset[int]().union(*(siblings(core) for core in kept))
    return tuple(core for core in cores if core not in busy)


def share_cores(
    cores: Sequence[int], processes: int | None, kept: Sequence[int] = ()
) -> tuple[tuple[int, ...], ...]:
    """Divide cores among workers as evenly as may be; neighbours stay together.

    Args:
        processes: how many workers; None for one on each core.
        kept: where a device measures; for the message.

    Raises:
        UserError: there are more workers than cores, or no cores.
    """
    count = max(len(cores), 1) if processes is None else processes
    if count > len(cores):
        others = f", beside {len(kept)} that a device of this search measures on" if kept else ""
        most = f"at most {len(cores)}" if cores else "none"
        raise UserError(
            f"{count} worker{'s' * (count > 1)} cannot run here, each on a core of its own: this"
            f" machine has {len(cores)} for workers{others}; allowed here: {most}"
        )
    size, larger = divmod(len(cores), count)
    ends = [size * number + min(number, larger) for number in range(count + 1)]
    return tuple(tuple(cores[a:b]) for a, b in pairwise(ends))


def keep_to(cores: Sequence[int]) -> None:
    """Keep this thread, and what it starts from now on, to some cores.

    Nothing where one cannot, or where there are none.
    """
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


@contextmanager
def running_on(cores: Sequence[int]) -> Iterator[None]:
    """The same for a time."""
    before = allowed_cores()
    keep_to(cores)
    try:
        yield
    finally:
        keep_to(before)
