"""What cannot be started in a process of its own, and why."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paretune.errors import (
    CandidateError,
    Infeasible,
    TransientError,
    UserError,
)
from paretune.evaluators import EvaluationContext
from tests.evaluators.isolation.conftest import Start, candidate


def test_functions_that_cannot_be_imported(folder: Path, start: Start) -> None:
    factor = 0.25

    def scaled(outputs: Any, targets: Any) -> Any:
        return np.full(len(targets), factor)

    functions = {
        "closure": {"function": scaled, "direction": "maximize"},
        "lambda": {"function": lambda o, t: np.ones(len(t)), "direction": "minimize"},
    }
    suite = start(wanted=("closure", "lambda"), options={"functions": functions})
    measured, _ = suite.measure(candidate(folder, 0), "search")
    assert (measured["closure"].value, measured["lambda"].value) == (0.25, 1.0)


def test_what_cannot_be_handed_over(start: Start) -> None:
    import threading

    lock = threading.Lock()

    def locked(outputs: Any, targets: Any) -> Any:
        with lock:
            return np.ones(len(targets))

    options = {"functions": {"own": {"function": locked, "direction": "maximize"}}}
    with pytest.raises(UserError, match="options cannot be handed to .*: cannot pickle '_thread"):
        start(wanted=("own",), options=options)


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ("raise", r"cannot be started: ZeroDivisionError: .* the traceback is in '.*\.log'"),
        ("segfault", "cannot be started: the evaluating process was killed by SIGSEGV"),
        ("infeasible", "^a rule says no$"),
    ],
)
def test_evaluators_that_do_not_start(start: Start, last: str, message: str) -> None:
    with pytest.raises((UserError, Infeasible), match=message):
        start("create", last)


def test_too_little_memory_to_start(start: Start) -> None:
    with pytest.raises(UserError, match="the evaluators cannot be started"):
        start(memory=1 << 20)


def test_mistakes_are_the_users_also_from_there(start: Start, context: EvaluationContext) -> None:
    with pytest.raises(UserError, match="'accuracy': the model has no output 'y'"):
        start(wanted=("accuracy",), options={"output": "y"})
    with pytest.raises(UserError, match="unknown metric 'latency'"):
        start(wanted=("latency",))


def test_evaluators_that_do_not_start_again_blame_no_candidate(folder: Path, start: Start) -> None:
    suite = start("segfault")
    suite.measure(candidate(folder, 0), "search")
    with pytest.raises(CandidateError, match="SIGSEGV"):
        suite.measure(candidate(folder, 1), "search")
    module = folder / "faulty_evaluator.py"
    code = module.read_text()
    module.write_text("1 / 0")
    with pytest.raises(TransientError, match="do not start again: .* does not import"):
        suite.measure(candidate(folder, 2), "search")
    module.write_text(code)
    suite.measure(candidate(folder, 2), "search")
