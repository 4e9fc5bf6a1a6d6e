"""What two figures must have in common to be compared."""

import hashlib
import os
import platform
import socket
import uuid
from pathlib import Path
from typing import Any

from paretune.evaluators.measuring.cpu import cpu_model
from paretune.evaluators.measuring.job import Setup
from paretune.evaluators.runtimes.runtime import Runtime

_SYS = Path("/sys")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def conditions(setup: Setup, runtime: Runtime, *, root: Path = _SYS) -> dict[str, Any]:
    """Of this process: JSON values, none of which changes from one run to the next.

    `cpus` are those that this process really is pinned to, not those asked for. What the system
    does not tell (`cpus`, `governor`) is left out.

    Args:
        setup: how this process runs models.
        runtime: what it runs them with.
        root: where the kernel tells its governors.
    """
    found: dict[str, Any] = {
        "host": socket.gethostname(),
        "cpu": cpu_model(),
        "architecture": platform.machine(),
        "runtime": runtime.name,
        "runtime_version": runtime.version,
        "threads": setup.threads,
        "options": dict(setup.options),
    }
    if hasattr(os, "sched_getaffinity"):
        cpus = sorted(os.sched_getaffinity(0))
        found["cpus"] = cpus
        if governor := _governor(root, cpus):
            found["governor"] = governor
    return found


def machine_id() -> str:
    """Identifies the hardware, also across containers and network namespaces of one host.

    On Linux it is the running kernel's, and new after a restart of the machine.
    """
    try:
        text = _BOOT_ID.read_text().strip()
    except OSError:
        text = f"{platform.node()} {uuid.getnode()}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _governor(root: Path, cpus: list[int]) -> str:
    """Of these CPUs; several in alphabetical order."""
    found = set()
    for cpu in cpus:
        path = root / f"devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"
        try:
            found.add(path.read_text().strip())
        except OSError:
            continue
    return ", ".join(sorted(found))
