"""A worker process that works, crashes, hangs, takes too much memory, is killed or orphaned."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from paretune.errors import CandidateError, TransientError
from paretune.evaluators.processes.frames import FrameKind, write_frame
from paretune.evaluators.processes.worker import Worker

CODE = """
import ctypes, os, signal, sys, time
from paretune.evaluators.processes.serving import serve

def answer(request, note):
    name, _, argument = request.decode().partition(" ")
    if name == "echo":
        return argument.encode()
    if name == "noisy":
        print("into the middle of the answers?")
        os.write(1, b"bytes, too")
        return b"%d" % len(sys.stdin.read())
    if name == "note":
        note("first")
        note("second: \\u00e9")
        return b"done"
    if name == "large":
        return b"x" * int(argument)
    note(f"doing {name}")
    if name == "segfault":
        ctypes.string_at(0)
    if name == "abort":
        print("what():  no more patience", file=sys.stderr, flush=True)
        os.abort()
    if name == "fault":
        # Python's words of it are followed by the traceback; there it meets the next.
        for fault in ("Floating point exception", "Segmentation fault"):
            print(f"Fatal Python error: {fault}\\n\\nThread 0", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == "raise":
        raise RuntimeError("that was not planned")
    if name == "fork":
        # As a data loader's workers do, it holds a copy of every pipe.
        child = os.fork()
        if child == 0:
            signal.pause()
        note(str(child))
        ctypes.string_at(0)
    if name == "hang":
        # Stuck in foreign code that keeps the interpreter's lock: Python handles no signal.
        ctypes.PyDLL(None).pause()
    if name == "allocate":
        return b"%d" % len(bytearray(int(argument)))
    if name == "leave":
        sys.exit(0)

serve(answer)
"""
COMMAND = (sys.executable, "-P", "-c", CODE)
Start = Callable[..., Worker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    workers = []

    def start(code: str = CODE, *, memory: int | None = None) -> Worker:
        worker = Worker(
            (sys.executable, "-P", "-c", code),
            tmp_path / "worker.log",
            name="the worker",
            memory=memory,
        )
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.close()


def ask(worker: Worker, request: str, *, seconds: float = 60) -> str:
    return worker.ask(request.encode(), seconds=seconds).decode()


def test_answers_one_request_after_the_other(start: Start) -> None:
    worker = start()
    assert [ask(worker, f"echo {i}") for i in range(3)] == ["0", "1", "2"]
    assert ask(worker, "echo ") == ""
    assert worker.alive


def test_large_messages_pass_whole(start: Start) -> None:
    worker = start()
    # Both are far larger than a pipe's buffer.
    assert ask(worker, f"large {1 << 23}") == "x" * (1 << 23)
    assert ask(worker, "echo " + "y" * (1 << 23)) == "y" * (1 << 23)


def test_what_is_printed_is_no_answer(start: Start, tmp_path: Path) -> None:
    worker = start()
    assert ask(worker, "noisy") == "0"
    assert ask(worker, "echo still in step") == "still in step"
    log = (tmp_path / "worker.log").read_text()
    assert "bytes, too" in log


def test_notes_come_before_the_answer(start: Start) -> None:
    notes: list[str] = []
    assert start().ask(b"note", seconds=60, on_note=notes.append) == b"done"
    assert notes == ["first", "second: é"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ("segfault", r"the worker \(doing segfault\) was killed by SIGSEGV: it said nothing"),
        ("abort", r"the worker \(doing abort\) was killed by SIGABRT: what\(\):  no more patience"),
        ("fault", r"\(doing fault\) was killed by SIGFPE: Fatal Python error: Floating point"),
        ("raise", r"\(doing raise\) ended with exit code 1: RuntimeError: that was not planned"),
    ],
)
def test_a_crash_is_the_requests_fault(start: Start, request_: str, message: str) -> None:
    worker = start()
    with pytest.raises(CandidateError, match=message):
        ask(worker, request_)
    assert not worker.alive
    with pytest.raises(TransientError, match="the worker is closed"):
        ask(worker, "echo again")


def test_a_worker_that_hangs_in_foreign_code_is_ended(start: Start) -> None:
    worker = start()
    ask(worker, "echo started")
    with pytest.raises(
        CandidateError, match=r"the worker \(doing hang\) took longer than 0.3 s and was ended"
    ):
        ask(worker, "hang", seconds=0.3)
    assert not worker.alive


def test_a_worker_beyond_its_memory_limit_gets_none(start: Start) -> None:
    worker = start(memory=1 << 27)
    assert ask(worker, f"allocate {1 << 20}") == str(1 << 20)
    with pytest.raises(CandidateError, match="ended with exit code 1: MemoryError"):
        ask(worker, f"allocate {1 << 28}")


def test_without_a_limit_there_is_memory(start: Start) -> None:
    assert ask(start(), f"allocate {1 << 28}") == str(1 << 28)


def test_a_worker_ends_by_itself_some_time_after_its_limit(start: Start) -> None:
    worker = start()
    assert worker._process.stdin is not None
    # It allows its owner ten seconds.
    write_frame(worker._process.stdin, FrameKind.REQUEST, 1, b"%-16d" % -9 + b"hang")
    assert worker._process.wait(30) == -signal.SIGALRM


def test_a_worker_that_takes_no_request_is_ended(start: Start) -> None:
    worker = start("import time; time.sleep(60)")
    with pytest.raises(CandidateError, match="the worker took longer than 0.3 s"):
        # More than fits into the pipe.
        worker.ask(b"x" * (1 << 20), seconds=0.3)


def test_a_worker_that_stops_amid_its_answer_is_ended(start: Start) -> None:
    worker = start("import os, time; os.write(1, bytes([3, 0, 0])); time.sleep(60)")
    with pytest.raises(CandidateError, match="the worker took longer than 0.3 s"):
        worker.ask(b"", seconds=0.3)


def test_what_a_dead_worker_forked_is_ended_too(start: Start) -> None:
    notes: list[str] = []
    with pytest.raises(CandidateError, match="was killed by SIGSEGV"):
        start().ask(b"fork", seconds=60, on_note=notes.append)
    wait_until(lambda: not is_running(int(notes[-1])))


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_killed_from_outside_it_may_be_tried_again(start: Start, name: str) -> None:
    worker = start()
    ask(worker, "echo started")

    def kill(_: str) -> None:
        os.kill(worker.process_id, getattr(signal, name))

    with pytest.raises(TransientError, match=rf"\(doing hang\) was killed by {name}"):
        worker.ask(b"hang", seconds=60, on_note=kill)


def test_killed_between_two_requests(start: Start) -> None:
    worker = start()
    ask(worker, "echo started")
    os.kill(worker.process_id, signal.SIGKILL)
    wait_until(lambda: not worker.alive)
    with pytest.raises(TransientError, match="the worker was killed by SIGKILL"):
        ask(worker, "echo")


def test_a_worker_that_leaves_may_be_tried_again(start: Start) -> None:
    with pytest.raises(TransientError, match="ended with exit code 0"):
        ask(start(), "leave")


def test_a_worker_that_does_not_start_tells_why(start: Start) -> None:
    with pytest.raises(CandidateError, match="exit code 1: out of patience"):
        ask(start("raise SystemExit('out of patience')"), "echo")


def test_a_cancelled_worker_is_ended(start: Start) -> None:
    worker = start()
    asked: list[None] = []

    def cancelled() -> bool:
        asked.append(None)
        return len(asked) == 2

    with pytest.raises(TransientError, match="the worker was cancelled"):
        worker.ask(b"hang", seconds=60, cancelled=cancelled)
    assert not worker.alive


def test_an_interrupt_leaves_no_late_answer(start: Start) -> None:
    worker = start()

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worker.ask(b"note", seconds=60, on_note=interrupt)
    assert not worker.alive


def test_closing_twice_is_harmless(start: Start) -> None:
    worker = start()
    worker.close()
    worker.close()
    assert not worker.alive


ORPHAN = """
import os, signal, sys
from pathlib import Path
from paretune.evaluators.processes.worker import Worker

worker = Worker(sys.argv[2:], Path(sys.argv[1]), name="the worker")
worker.ask(b"echo started", seconds=60)

def die(_):
    print(worker.process_id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

{last}
"""


@pytest.mark.parametrize(
    "last",
    [
        pytest.param("die(None)", id="idle"),
        pytest.param(
            "worker.ask(b'hang', seconds=600, on_note=die)",
            id="stuck",
        ),
    ],
)
def test_no_worker_outlives_its_owner(tmp_path: Path, last: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", ORPHAN.format(last=last), str(tmp_path / "log"), *COMMAND],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    worker = int(done.stdout)
    wait_until(lambda: not is_running(worker))


def is_running(process_id: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
        # Nobody may have collected an orphan that has ended.
        return state != "Z"
    return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
