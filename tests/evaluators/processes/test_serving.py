"""Work that asks for time, and work whose owner is gone."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paretune.errors import CandidateError
from paretune.evaluators.processes.worker import Worker
from tests.evaluators.processes.test_worker import is_running, wait_until

CODE = """
import ctypes, time
from pathlib import Path
from paretune.evaluators.processes.serving import serve

def answer(request, tell):
    first, second, path = request.decode().split(",")
    tell.allow(float(first))
    tell("waiting")
    time.sleep(0.4)
    tell.allow(float(second))
    tell("working")
    if path:
        Path(path).touch()
        # Keeps the interpreter's lock, so that Python can do nothing.
        ctypes.PyDLL(None).pause()
    time.sleep(0.4)
    return b"done"

serve(answer)
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    worker = Worker((sys.executable, "-P", "-c", CODE), tmp_path / "log", name="the worker")
    yield worker
    worker.close()


def test_a_worker_may_ask_for_more_time(worker: Worker) -> None:
    worker.ask(b"60,60,", seconds=60)
    assert worker.ask(b"60,60,", seconds=0.3) == b"done"


def test_a_worker_may_ask_for_less_time(worker: Worker) -> None:
    with pytest.raises(
        CandidateError, match=r"the worker \(working\) took longer than 0.2 s and was ended"
    ):
        worker.ask(b"60,0.2,", seconds=60)


OWNER = """
import sys
from pathlib import Path
from paretune.evaluators.processes.worker import Worker

worker = Worker([sys.executable, "-P", "-c", sys.argv[1]], Path(sys.argv[2]), name="the worker")
print(worker.process_id, flush=True)
worker.ask(f"600,600,{sys.argv[3]}".encode(), seconds=600)
"""


def test_work_ends_with_its_owner(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    owner = subprocess.Popen(
        [sys.executable, "-P", "-c", OWNER, CODE, tmp_path / "log", begun],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    process_id = int(owner.stdout.readline())
    wait_until(begun.exists)
    assert is_running(process_id)
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()
    # Long before its time limit.
    wait_until(lambda: not is_running(process_id))
