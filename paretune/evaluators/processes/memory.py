"""How much memory a process that runs models may take, when nobody has said it."""

from pathlib import Path

_SHARE = 3 / 4
_LEAST = 256 << 20
"""Bytes without which the process cannot do anything."""


def default_memory_limit(
    proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Bytes: three quarters of what is available now, or None where the system does not tell.

    It is 256 MiB at least.

    Args:
        proc: where the kernel tells what the machine has.
        cgroup: where it tells what this container may use (version 2).
    """
    rooms = [room for room in (_of_machine(proc), _of_container(cgroup)) if room is not None]
    return max(int(_SHARE * min(rooms)), _LEAST) if rooms else None


def _of_machine(proc: Path) -> int | None:
    try:
        lines = (proc / "meminfo").read_text().splitlines()
    except OSError:
        return None
    found = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return next((int(kib) * 1024 for kib in found), None)


def _of_container(cgroup: Path) -> int | None:
    try:
        most = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
        lines = (cgroup / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):
        # No container, or `max`: no limit.
        return None
    # The pages of files count as used, but are given back.
    cached = sum(int(line.split()[1]) for line in lines if line.startswith("file "))
    return max(most - used + cached, 0)
