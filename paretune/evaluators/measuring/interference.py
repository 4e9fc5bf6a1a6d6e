"""Watching what else runs: other processes on our CPUs, the hypervisor, load, clock speed.

What a system does not tell (most of it outside Linux) is not watched.
"""

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Protocol

from paretune.evaluators.measuring.contention import CONTENDED, Contention

PREEMPTED, STEAL, LOAD, FREQUENCY = "preempted", "steal", "load", "frequency"

WAITING_SHARE = 0.01
"""Of a block that our threads may wait for a CPU. Kernel threads take less, and take it often."""

LOAD_SHARE = 0.25
"""Of all CPUs that other processes may use during a measurement."""

STEAL_SHARE = 0.02
"""Of our CPUs that the hypervisor may take away during a measurement."""

FREQUENCY_SHARE = 0.1
"""By which the clock speed may change during a measurement."""

_LOOK_SECONDS = 0.05
_ROUNDING_TICKS = 2
_MOST_BYTES = 1 << 16


class Watch(Protocol):
    """Tells what interfered."""

    def start(self) -> Sequence[str]:
        """A block begins; what disturbs it already now."""
        ...

    def disturbances(self) -> Sequence[str]:
        """What has interfered since `start`, and is a reason to take the block again."""
        ...

    def surroundings(self) -> Sequence[str]:
        """What interfered since this was last asked, and goes on whatever is taken again."""
        ...


class SystemWatch:
    """Watches this process and its CPUs. Made when all of the process's threads are there.

    Args:
        contention: of our core; it learns, so it lives longer than a watch. None does not look.
        root: where `proc` and `sys` are.
    """

    def __init__(self, contention: Contention | None = None, root: Path = Path("/")) -> None:
        self._contention = contention
        self._threads = _Files((root / "proc/self/task").glob("*/schedstat"))
        self._stat = _Files([root / "proc/stat"])
        cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._cpus = [f"cpu{cpu}" for cpu in cpus]
        frequency = "sys/devices/system/cpu/{}/cpufreq/scaling_cur_freq"
        self._speeds = _Files(root / frequency.format(cpu) for cpu in self._cpus)
        self._asked = time.perf_counter()
        self._preemption = self._read_preemption()
        self._looked = self._asked
        self._usage = self._since = self._read_usage()
        self._kilohertz = self._read_speeds()

    def start(self) -> list[str]:
        """`contended`: another thread works on the same core."""
        found = [CONTENDED] if self._contention is not None and self._contention.look() else []
        self._preemption = self._read_preemption()
        self._asked = time.perf_counter()
        return found

    def disturbances(self) -> list[str]:
        """`preempted`: our threads had to wait; `steal`: the hypervisor took one of our CPUs;
        `contended` as before.
        """
        found = []
        now, preemption = time.perf_counter(), self._read_preemption()
        # Where waiting is not told, every involuntary switch counts.
        limit = WAITING_SHARE * (now - self._asked) if self._threads else 0.0
        if preemption - self._preemption > limit:
            found.append(PREEMPTED)
        if now - self._looked >= _LOOK_SECONDS and self._look():
            found.append(STEAL)
        if self._contention is not None and self._contention.look():
            found.append(CONTENDED)
        return found

    def surroundings(self) -> list[str]:
        """`load` of other processes, `steal` and changes of `frequency` beyond their shares."""
        self._look()
        found = []
        if self._usage and self._since:
            found = _beyond_shares(self._since, self._usage)
        if self._kilohertz and min(self._kilohertz) < (1 - FREQUENCY_SHARE) * max(self._kilohertz):
            found.append(FREQUENCY)
        self._since = self._usage
        self._kilohertz = self._kilohertz[-len(self._speeds) :]
        return found

    def close(self) -> None:
        """Stop watching."""
        for files in (self._threads, self._stat, self._speeds):
            files.close()

    def _look(self) -> bool:
        """Read what costs more to read; whether CPU time was stolen meanwhile."""
        before, self._usage = self._usage, self._read_usage()
        self._kilohertz += self._read_speeds()
        self._looked = time.perf_counter()
        return bool(before and self._usage and self._usage.stolen > before.stolen)

    def _read_preemption(self) -> float:
        """Seconds that threads have waited for a CPU, or involuntary switches where not told."""
        if self._threads:
            return sum(int(text.split()[1]) for text in self._threads.read()) / 1e9
        return getrusage(RUSAGE_SELF).ru_nivcsw

    def _read_usage(self) -> "_Usage | None":
        texts = self._stat.read()
        return _usage(texts[0], self._cpus) if texts else None

    def _read_speeds(self) -> list[int]:
        return [int(text) for text in self._speeds.read()]


@dataclass(frozen=True)
class _Usage:
    """CPU time so far, in ticks.

    Attributes:
        all: of all CPUs, idle or not.
        busy: what processes used of it.
        own: what this one used.
        ours: of the CPUs that this process is pinned to, idle or not.
        stolen: what the hypervisor took of `ours`.
    """

    all: int
    busy: int
    own: float
    ours: int
    stolen: int


def _usage(stat: str, cpus: Sequence[str]) -> _Usage:
    """Read /proc/stat; see proc(5)."""
    ticks = {
        # What guests use is part of user time.
        words[0]: [int(word) for word in words[1:9]]
        for line in stat.splitlines()
        if (words := line.split()) and words[0].startswith("cpu")
    }
    every = ticks["cpu"]
    _, _, _, idle, waiting, _, _, stolen = every
    ours = [ticks[cpu] for cpu in cpus if cpu in ticks]
    own = time.process_time() * os.sysconf("SC_CLK_TCK")
    return _Usage(
        sum(every),
        sum(every) - idle - waiting - stolen,
        own,
        sum(map(sum, ours)),
        sum(cpu[7] for cpu in ours),
    )


def _beyond_shares(start: _Usage, end: _Usage) -> list[str]:
    found = []
    others = (end.busy - start.busy) - (end.own - start.own)
    if others > LOAD_SHARE * (end.all - start.all) + _ROUNDING_TICKS:
        found.append(LOAD)
    if end.stolen - start.stolen > STEAL_SHARE * (end.ours - start.ours) + _ROUNDING_TICKS:
        found.append(STEAL)
    return found


class _Files:
    """Small system files, kept open and read again and again; those missing are left out."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._open: list[int] = []
        for path in paths:
            try:
                self._open.append(os.open(path, os.O_RDONLY))
            except OSError:
                continue

    def __len__(self) -> int:
        return len(self._open)

    def read(self) -> list[str]:
        texts = []
        for file in self._open:
            try:
                texts.append(os.pread(file, _MOST_BYTES, 0).decode())
            except OSError:
                # The thread has ended, or the CPU was switched off.
                continue
        return texts

    def close(self) -> None:
        while self._open:
            os.close(self._open.pop())
