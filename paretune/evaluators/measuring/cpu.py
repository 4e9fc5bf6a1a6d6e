"""What the CPU calls itself."""

import platform
from pathlib import Path


def cpu_model(proc: Path = Path("/proc")) -> str:
    """The CPU's name, or that of the board where the kernel knows no other; never empty.

    Args:
        proc: where the kernel tells.
    """
    # `platform.processor` is empty on most Linux systems.
    return _x86_name(proc) or _board_name(proc) or platform.processor() or platform.machine()


def _x86_name(proc: Path) -> str:
    try:
        lines = (proc / "cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "")


def _board_name(proc: Path) -> str:
    try:
        text = (proc / "device-tree" / "model").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.strip("\0\n ")
