"""What the watch makes of what the system tells."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from paretune.evaluators.measuring import interference
from paretune.evaluators.measuring.contention import Contention
from paretune.evaluators.measuring.interference import SystemWatch

CPUS = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
TICKS = os.sysconf("SC_CLK_TCK")


class Clock:
    """Real time stands still; a test moves it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.used = 0.0

    def perf_counter(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.used


class System:
    """The files of a system, in a folder of their own."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root = root
        self.clock = clock
        self.ticks = {cpu: [0] * 10 for cpu in (*CPUS, "other")}
        self.tell_waiting(0.0)
        self.tell_usage()
        self.tell_speed(3_000_000)

    def tell_waiting(self, *seconds: float) -> None:
        for i, waited in enumerate(seconds):
            path = self.root / f"proc/self/task/{i}/schedstat"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"123 {round(1e9 * waited)} 7\n")

    def tell_speed(self, kilohertz: int) -> None:
        for cpu in CPUS:
            path = self.root / f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{kilohertz}\n")

    def tell_usage(self) -> None:
        every = [sum(column) for column in zip(*self.ticks.values(), strict=True)]
        lines = [f"cpu  {' '.join(map(str, every))}"]
        lines += [f"cpu{cpu} {' '.join(map(str, ticks))}" for cpu, ticks in self.ticks.items()]
        (self.root / "proc/stat").write_text("\n".join([*lines, "intr 1 2 3", "ctxt 5", ""]))

    def pass_time(
        self, seconds: float, *, own: float = 0.0, others: float = 0.0, stolen: float = 0.0
    ) -> None:
        """All of the CPUs together: this process used `own` seconds, others `others`."""
        self.clock.now += seconds
        self.clock.used += own
        first = self.ticks[CPUS[0]]
        first[0] += round(own * TICKS)
        first[7] += round(stolen * TICKS)
        first[3] += round((seconds - own - stolen) * TICKS)
        for cpu in [*CPUS[1:], "other"]:
            self.ticks[cpu][3] += round(seconds * TICKS)
        self.ticks["other"][0] += round(others * TICKS)
        self.ticks["other"][3] -= round(others * TICKS)
        self.tell_usage()


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    clock = Clock()
    monkeypatch.setattr(interference, "time", clock)
    return System(tmp_path, clock)


@pytest.fixture
def watch(system: System) -> Iterator[SystemWatch]:
    with closing(SystemWatch(root=system.root)) as watch:
        yield watch


def test_nothing_happens(system: System, watch: SystemWatch) -> None:
    system.pass_time(1.0, own=1.0)
    assert watch.disturbances() == []
    assert watch.surroundings() == []


def test_waiting_for_a_cpu_disturbs_a_block_once(system: System, watch: SystemWatch) -> None:
    system.pass_time(0.01, own=0.01)
    system.tell_waiting(0.001)
    assert watch.disturbances() == ["preempted"]
    watch.start()
    system.pass_time(0.01, own=0.01)
    assert watch.disturbances() == []


def test_a_kernel_thread_does_not_disturb_a_long_block(system: System, watch: SystemWatch) -> None:
    system.pass_time(0.1, own=0.1)
    system.tell_waiting(0.0005)
    assert watch.disturbances() == []


def test_all_threads_are_watched(system: System) -> None:
    system.tell_waiting(0.0, 0.0)
    with closing(SystemWatch(root=system.root)) as watch:
        system.pass_time(0.01, own=0.02)
        system.tell_waiting(0.0, 0.003)
        assert watch.disturbances() == ["preempted"]


def test_where_waiting_is_not_told_switches_count(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        ru_nivcsw = 7

    (system.root / "proc/self/task/0/schedstat").unlink()
    monkeypatch.setattr(interference, "getrusage", lambda _: Usage)
    with closing(SystemWatch(root=system.root)) as watch:
        system.pass_time(0.1)
        assert watch.disturbances() == []
        Usage.ru_nivcsw = 8
        assert watch.disturbances() == ["preempted"]
        watch.start()
        assert watch.disturbances() == []


class Sharing(Contention):
    """A core that is shared when the test says so."""

    shared = False

    def look(self) -> bool:
        return self.shared


def test_a_shared_core_disturbs_a_block_at_its_begin_and_at_its_end(system: System) -> None:
    core = Sharing()
    with closing(SystemWatch(core, system.root)) as watch:
        assert watch.start() == []
        system.pass_time(0.01, own=0.01)
        core.shared = True
        assert watch.disturbances() == ["contended"]
        assert watch.start() == ["contended"]
        core.shared = False
        assert watch.disturbances() == []


@pytest.mark.skipif(not CPUS, reason="CPUs of a process are not told here")
def test_a_stolen_tick_disturbs_a_block(system: System, watch: SystemWatch) -> None:
    system.pass_time(0.1, own=0.08, stolen=0.02)
    assert watch.disturbances() == ["steal"]
    assert watch.disturbances() == []


@pytest.mark.skipif(not CPUS, reason="CPUs of a process are not told here")
def test_much_stolen_time_is_a_matter_of_the_measurement(
    system: System, watch: SystemWatch
) -> None:
    system.pass_time(10.0, own=9.0, stolen=len(CPUS) * 0.5)
    assert watch.surroundings() == ["steal"]
    assert watch.surroundings() == []


@pytest.mark.parametrize(("share", "found"), [(0.05, []), (0.4, ["load"])])
def test_others_that_use_cpus_are_load(
    share: float, found: list[str], system: System, watch: SystemWatch
) -> None:
    system.pass_time(10.0, own=10.0, others=share * 10 * (len(CPUS) + 1))
    assert watch.disturbances() == []
    assert watch.surroundings() == found


@pytest.mark.skipif(not CPUS, reason="CPUs of a process are not told here")
def test_a_clock_speed_that_changes_is_told(system: System, watch: SystemWatch) -> None:
    system.tell_speed(2_900_000)
    assert watch.surroundings() == []
    system.tell_speed(2_000_000)
    system.pass_time(0.1)
    assert watch.disturbances() == []
    system.tell_speed(2_900_000)
    assert watch.surroundings() == ["frequency"]
    assert watch.surroundings() == []


def test_a_system_that_tells_nothing_is_not_watched(tmp_path: Path) -> None:
    with closing(SystemWatch(root=tmp_path)) as watch:
        assert watch.surroundings() == []


def test_a_thread_that_ends_is_left_out() -> None:
    """A real one, which the kernel then knows no more."""
    from threading import Event, Thread

    stop = Event()
    thread = Thread(target=stop.wait)
    thread.start()
    with closing(SystemWatch()) as watch:
        stop.set()
        thread.join()
        watch.disturbances()
        watch.surroundings()


@pytest.mark.skipif(not CPUS, reason="processes cannot be pinned here")
def test_a_process_on_the_same_cpu_really_preempts() -> None:
    with _pinned(CPUS[0]), closing(SystemWatch()) as watch:
        command = [sys.executable, "-c", "while True: pass"]
        other = subprocess.Popen(command)
        try:
            end = time.monotonic() + 60
            found: list[str] = []
            # Two processes that want one CPU: the scheduler has no other choice.
            while "preempted" not in found and time.monotonic() < end:
                watch.start()
                block = time.perf_counter() + 0.02
                while time.perf_counter() < block:
                    pass
                found = watch.disturbances()
        finally:
            other.kill()
            other.wait()
    assert "preempted" in found


@contextmanager
def _pinned(cpu: int) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
