"""Real signals to a real search, its children included."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from paretune.search.journal import JOURNAL
from paretune.search.store import StudyStore
from paretune.search.trial import TrialStatus
from paretune.search.view import all_members
from tests.search.tiny import project

__all__ = ["project"]

RUN = "from paretune.search.cli.main import run; run()"
TAKE_TERMINAL = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
ARGUMENTS = ("search", "tiny.yaml", "--trials", "100000", "--no-mlflow")
SECONDS = 120.0
TRIALS = 5


def test_ctrl_c_in_a_terminal_that_is_closed_then(project: Path) -> None:
    own, its = pty.openpty()
    search = subprocess.Popen(
        [sys.executable, "-c", f"{TAKE_TERMINAL}; {RUN}", *ARGUMENTS],
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    said = bytearray()

    def read() -> None:
        while select.select([own], [], [], 0.02)[0]:
            said.extend(os.read(own, 1 << 16))

    try:
        wait(search, lambda: recorded(project) >= TRIALS, read)
        # The kernel sends SIGINT to the whole foreground group, as for a Ctrl-C that is typed.
        os.write(own, b"\x03")
        wait(search, lambda: b"Stopping" in said, read)
        # Now SIGHUP, and from here on every write to the terminal fails.
        os.close(own)
        assert search.wait(SECONDS) == 0
    finally:
        search.kill()
        search.wait()
    store = StudyStore.open(project / "runs" / "tiny")
    trials = store.trials()
    assert {trial.status for trial in trials} == {TrialStatus.COMPLETE}
    assert all(member.test for member in all_members(store.info, trials))
    assert (store.folder / "front.html").exists()


def test_a_second_signal_aborts(project: Path) -> None:
    command = [sys.executable, "-c", RUN, *ARGUMENTS]
    search = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    try:
        wait(search, lambda: recorded(project) >= TRIALS, lambda: time.sleep(0.02))
        os.killpg(search.pid, signal.SIGINT)
        os.kill(search.pid, signal.SIGTERM)
        _, said = search.communicate(timeout=SECONDS)
    finally:
        search.kill()
        search.wait()
    # As a shell tells of a process that SIGTERM ended.
    assert search.returncode == 128 + signal.SIGTERM
    assert b"the same command goes on" in said
    store = StudyStore.open(project / "runs" / "tiny")
    assert {trial.status for trial in store.trials()} == {TrialStatus.COMPLETE}
    assert not (store.folder / "scratch").exists()
    assert not list(store.folder.glob("*.spool"))


def wait(
    search: subprocess.Popen[bytes], until: Callable[[], bool], between: Callable[[], None]
) -> None:
    deadline = time.monotonic() + SECONDS
    while not until():
        assert search.poll() is None
        assert time.monotonic() < deadline
        between()


def recorded(project: Path) -> int:
    """How many trials the journal holds, roughly."""
    journal = project / "runs" / "tiny" / JOURNAL
    return journal.read_bytes().count(b"artifact_sha256") if journal.exists() else 0
