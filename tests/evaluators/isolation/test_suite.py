"""The suite in a process of its own: the same figures, and every fault costs one measurement."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from paretune.errors import (
    CandidateError,
    Infeasible,
    InferenceError,
    MachineError,
    OutOfTime,
    TransientError,
)
from paretune.evaluators import EvaluationContext, EvaluatorSuite, SplitName
from paretune.evaluators.devices.device import DeviceSpec
from paretune.evaluators.isolation.spool import Spool
from paretune.evaluators.isolation.suite import IsolatedSuite
from tests.evaluators.conftest import artifact
from tests.evaluators.isolation.conftest import SIZE, Start, candidate, process_id


def test_the_same_figures_as_in_this_process(folder: Path, context: EvaluationContext) -> None:
    other = candidate(folder, 0)
    wanted = ["divergence", SIZE, "accuracy", "agreement"]
    with EvaluatorSuite.create([], wanted, context, ()) as suite:
        here = {split: suite.measure(other, split)[0] for split in get_args(SplitName)}
    with Spool(folder) as spool:
        spooled = EvaluationContext(context.reference, spool.keep(context.splits))
        log = folder / "log"
        with IsolatedSuite.create([], wanted, spooled, (), log=log) as isolated:
            assert [metric.name for metric in isolated.metrics] == wanted
            assert isolated.metrics == suite.metrics
            for split, expected in here.items():
                measured, seconds = isolated.measure(other, split)
                assert list(measured) == wanted
                assert measured == expected
                assert set(seconds) == {"accuracy", "size"}
                measured, seconds = isolated.measure(other, split, {"agreement"})
                assert measured == {"agreement": expected["agreement"]}
                assert set(seconds) == {"accuracy"}
    # Nobody had anything to say.
    assert not log.exists()


def test_what_is_overdue_is_given_up(start: Start, folder: Path) -> None:
    suite = start("sleep")
    suite.measure(candidate(folder, 0), "search")
    suite.overdue = lambda: True
    with pytest.raises(OutOfTime, match="given up, as the time is over"):
        suite.measure(candidate(folder, 1), "search")
    suite.overdue = lambda: False
    assert suite.measure(candidate(folder, 2), "search")[0]


FAULTS = [
    (
        "segfault",
        CandidateError,
        r"\(measuring faulty\) was killed by SIGSEGV: Fatal Python error",
    ),
    (
        "abort",
        CandidateError,
        r"\(measuring faulty\) was killed by SIGABRT: Fatal Python error",
    ),
    ("full", MachineError, "^the disk is full; once that is remedied"),
    ("sleep", CandidateError, r"\(measuring faulty\) took longer than .* s and was ended"),
    ("spin", CandidateError, r"\(measuring faulty\) took longer than .* s and was ended"),
    ("stuck", CandidateError, r"\(measuring faulty\) took longer than .* s and was ended"),
    ("recurse", CandidateError, "RecursionError: maximum recursion depth exceeded"),
    ("raise", CandidateError, r"ZeroDivisionError: .* \(faulty_evaluator.py, line \d+\); the trac"),
    ("infeasible", Infeasible, "^a rule says no$"),
    ("busy", TransientError, "^the meter is busy$"),
    ("exit", CandidateError, r"\(measuring faulty\) ended with exit code 3: it said nothing"),
    ("leave", CandidateError, "SystemExit: 4"),
    ("killed", TransientError, r"\(measuring faulty\) was killed by SIGKILL"),
    ("nan", CandidateError, "ValueError: a measurement must be finite, but got nan"),
    ("text", CandidateError, "AttributeError: 'str' object has no attribute 'to_dict'"),
    ("odd", CandidateError, "TypeError: Object of type ndarray is not JSON serializable"),
    ("nothing", CandidateError, "KeyError: 'faulty'"),
]


@pytest.mark.parametrize(("fault", "kind", "message"), FAULTS, ids=[fault for fault, *_ in FAULTS])
def test_a_fault_costs_one_measurement(
    folder: Path, start: Start, fault: str, kind: type[Exception], message: str
) -> None:
    suite = start(fault, seconds=1.0)
    suite.expect(0.1)
    assert suite.measure(candidate(folder, 0), "search")[0]["faulty"].value == 1.0
    with pytest.raises(kind, match=message) as caught:
        suite.measure(candidate(folder, 1), "search")
    assert type(caught.value) is kind
    assert suite.measure(candidate(folder, 2), "search")[0]["faulty"].value == 1.0


def test_memory_without_end(folder: Path, start: Start) -> None:
    suite = start("allocate", memory=1 << 30)
    suite.measure(candidate(folder, 0), "search")
    # Those before it may be to blame, so it gets another chance, in a new process.
    with pytest.raises(TransientError, match="more memory than the limit of 1,024 MiB; but others"):
        suite.measure(candidate(folder, 1), "search")
    with pytest.raises(CandidateError, match="^it needs more memory than the limit of 1,024 MiB$"):
        suite.measure(candidate(folder, 1), "search")
    suite.measure(candidate(folder, 2), "search")


def test_an_evaluator_that_leaks_fails_no_candidate(folder: Path, start: Start) -> None:
    suite = start(*["leak"] * 9, memory=1 << 28)
    again = 0
    for number in range(18):
        try:
            suite.measure(candidate(folder, number), "search")
        except TransientError:
            again += 1
            suite.measure(candidate(folder, number), "search")
    assert again


def test_what_is_printed_is_in_the_log(folder: Path, start: Start) -> None:
    suite = start("print", "raise")
    for number in range(3):
        suite.measure(candidate(folder, number), "search")
    with pytest.raises(CandidateError, match=r"the traceback is in '.*evaluators.log'"):
        suite.measure(candidate(folder, 3), "search")
    suite.close()
    log = (folder / "evaluators.log").read_text()
    assert "hello from an evaluator\nstraight into the pipe" in log
    assert "ZeroDivisionError: division by zero" in log


def test_the_log_of_one_that_died_stays(folder: Path, start: Start) -> None:
    suite = start("print", "segfault", "exit")
    for number in range(6):
        try:
            suite.measure(candidate(folder, number), "search")
        except CandidateError as error:
            said = str(error)
    # What an earlier process has said are not the last words of a later one.
    assert said.endswith("exit code 3: it said nothing")
    log = (folder / "evaluators.log").read_text()
    assert log.index("hello from") < log.index("Fatal Python error: Segmentation fault")


def test_what_a_dead_process_left_in_the_temporary_folder_is_removed(
    folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = folder / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    def litter(outputs: Any, targets: Any) -> Any:
        import tempfile

        assert Path(tempfile.gettempdir()).parent == temporary
        Path(tempfile.mkdtemp()).joinpath("large").touch()
        return np.ones(len(targets))

    options = {"functions": {"own": {"function": litter, "direction": "maximize"}}}
    suite = start("fine", "segfault", wanted=("own", "faulty"), options=options)
    (first,) = temporary.iterdir()
    for number in range(3):
        suite.measure(candidate(folder, number), "search")
    assert any(first.iterdir())
    with pytest.raises(CandidateError):
        suite.measure(candidate(folder, 3), "search")
    assert list(temporary.iterdir()) == []
    suite.measure(candidate(folder, 4), "search")
    suite.close()
    assert list(temporary.iterdir()) == []


def test_candidates_that_the_runtime_refuses_or_dies_of(folder: Path, start: Start) -> None:
    suite = start(wanted=("accuracy",))
    suite.measure(candidate(folder, 0), "search")
    broken = folder / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(InferenceError, match="cannot load"):
        suite.measure(artifact(broken), "search")
    alive = process_id(suite)
    suite.measure(candidate(folder, 1), "search")
    assert process_id(suite) == alive


def test_the_default_time_limit_follows_the_reference(start: Start) -> None:
    suite = start()
    assert suite._seconds() == 3600
    suite.expect(2.0)
    # What has just been started measures the reference, too.
    assert suite._seconds() == 60 + 20 * 2 + 4
    suite._measured = 1
    assert suite._seconds() == 60 + 20 * 2
    limited = start(seconds=5.0)
    limited.expect(2.0)
    limited._measured = 1
    assert limited._seconds() == 5


def test_a_device_may_take_longer(folder: Path, context: EvaluationContext) -> None:
    with IsolatedSuite.create(
        [{"type": "far"}],
        ["far", SIZE],
        context,
        [DeviceSpec("pi", "slow")],
        log=folder / "log",
        seconds=0.2,
    ) as suite:
        suite.expect(0.0)
        measured, seconds = suite.measure(candidate(folder, 0), "search")
    assert measured["far"].value == 1.0
    assert seconds["far"] > 0.5
