"""The memory limit that nobody has set."""

from pathlib import Path

import pytest

from paretune.evaluators.processes.memory import default_memory_limit

GIB = 1 << 30


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    folder = tmp_path / "proc"
    folder.mkdir()
    text = f"MemTotal:       {64 << 20} kB\nMemAvailable:   {8 << 20} kB\nBuffers:  1 kB\n"
    (folder / "meminfo").write_text(text)
    return folder


@pytest.fixture
def cgroup(tmp_path: Path) -> Path:
    folder = tmp_path / "cgroup"
    folder.mkdir()
    (folder / "memory.max").write_text(f"{6 * GIB}\n")
    (folder / "memory.current").write_text(f"{3 * GIB}\n")
    (folder / "memory.stat").write_text(f"anon {2 * GIB}\nfile {GIB}\nfile_mapped 4096\n")
    return folder


def test_three_quarters_of_what_the_machine_has(proc: Path, tmp_path: Path) -> None:
    assert default_memory_limit(proc, tmp_path / "none") == 6 * GIB


def test_a_container_may_have_less(proc: Path, cgroup: Path) -> None:
    assert default_memory_limit(proc, cgroup) == 3 * GIB
    (cgroup / "memory.max").write_text("max\n")
    assert default_memory_limit(proc, cgroup) == 6 * GIB
    # More is in use than it may use now: a little is always tried.
    (cgroup / "memory.max").write_text(f"{GIB}\n")
    assert default_memory_limit(proc, cgroup) == GIB // 4


def test_unknown_is_no_limit(tmp_path: Path) -> None:
    assert default_memory_limit(tmp_path, tmp_path) is None


def test_here() -> None:
    assert (default_memory_limit() or GIB) > 1 << 26
