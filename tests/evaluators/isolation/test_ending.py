"""However a process of evaluators ends, nothing is left of it, and measuring goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from paretune.errors import (
    TransientError,
)
from paretune.evaluators.part import Part
from tests.evaluators.isolation.conftest import Start, candidate, process_id


def test_closing_closes_the_evaluators(folder: Path, start: Start) -> None:
    suite = start()
    suite.measure(candidate(folder, 0), "search")
    assert not (folder / "closed").exists()
    suite.close()
    assert (folder / "closed").exists()


def test_an_interrupt_ends_the_process(folder: Path, start: Start) -> None:
    suite = start("sleep", seconds=60.0)
    suite.measure(candidate(folder, 0), "search")
    child = process_id(suite)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            suite.measure(candidate(folder, 1), "search")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not is_running(child)


ORPHAN = """
import sys
from pathlib import Path
from paretune.evaluators import EvaluationContext, Splits
from paretune.evaluators.isolation.suite import IsolatedSuite
from paretune.evaluators.part import Part
from tests.evaluators.isolation.conftest import candidate, process_id

folder = Path(sys.argv[1])
context = EvaluationContext(candidate(folder, 0), Splits((), (), ()))
configured = [{"type": "faulty", "options": {"faults": ["stuck"]}}]
suite = IsolatedSuite.create(configured, ["faulty"], context, (), log=folder / "log")
suite.measure(candidate(folder, 0), "search")
print(process_id(suite), flush=True)
suite.measure(candidate(folder, 1), "search")
"""


def test_a_killed_owner_leaves_no_process(folder: Path) -> None:
    places = os.pathsep.join([str(folder), str(Path(__file__).parents[3])])
    owner = subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": places},
    )
    assert owner.stdout is not None
    child = int(owner.stdout.readline())
    notes = folder / "faults.json"
    wait_until(lambda: "stuck" in notes.read_text())
    owner.kill()
    owner.communicate()
    # Long before the time limit, which is an hour.
    wait_until(lambda: not is_running(child))


def is_running(child: int) -> bool:
    try:
        return Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_parts_go_on_after_the_process_was_killed(start: Start, folder: Path) -> None:
    suite = start(wanted=("accuracy", "faulty"))
    raced = {"accuracy"}

    def teach() -> None:
        for number in range(1, 5):
            suite.measure(candidate(folder, number), "search", raced)

    teach()
    other = candidate(folder, 0)
    first, seconds = suite.measure(other, "search", raced, Part(1 / 8))
    assert first["accuracy"].samples["count"] == 8
    assert seconds.keys() == {"accuracy"}
    os.kill(process_id(suite), signal.SIGKILL)
    with pytest.raises(TransientError, match="killed by SIGKILL"):
        suite.measure(other, "search", raced, Part(1 / 4))
    # The new process has no experience of its own. The other evaluator knows of no parts.
    both, _ = suite.measure(other, "search", None, Part(1 / 4))
    assert both["accuracy"].samples == {"count": 64, "of": 64}
    assert both["faulty"].value == 1.0
    teach()
    later, _ = suite.measure(other, "search", raced, Part(1 / 4))
    assert later["accuracy"].samples["count"] == 16
    last, _ = suite.measure(other, "search", raced, Part(1.0))
    whole, _ = suite.measure(other, "search")
    assert last["accuracy"].value == whole["accuracy"].value == both["accuracy"].value
    assert not last["accuracy"].partial
