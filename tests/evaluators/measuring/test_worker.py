"""The measuring process itself: what it loads, where it runs, what it answers."""

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paretune.errors import CandidateError, Infeasible, InferenceError, TransientError, UserError
from paretune.evaluators.arrays import save_arrays
from paretune.evaluators.devices.local import measuring_environment
from paretune.evaluators.measuring.failures import describe_failure, failure
from paretune.evaluators.measuring.job import EXPECTED, INPUTS, MODEL, Job, Limits, Setup
from paretune.evaluators.measuring.pinning import pin
from paretune.evaluators.measuring.worker import MeasuringProcess
from paretune.evaluators.processes.worker import Worker
from paretune.evaluators.runtimes.expected import expected_outputs
from tests import models

CPUS = sorted(os.sched_getaffinity(0))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    model, inputs = models.mlp(tmp_path / "model.onnx"), tmp_path / "inputs.npz"
    save_arrays(inputs, {"x": np.ones((1, 8), np.float32)})
    files = {MODEL: str(model), INPUTS: str(inputs)}
    return Job("load", Setup(), files, {"least": 1, "seconds": 0}, Limits(60))


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    # As it is started in earnest, but for the list of what it loads.
    module = "paretune.evaluators.measuring.worker"
    command = (sys.executable, "-X", "importtime", "-P", "-m", module)
    environment = measuring_environment(Setup())
    running = Worker(command, tmp_path / "worker.log", name="the worker", env=environment)
    yield running
    running.close()


def ask(worker: Worker, request: Any) -> dict[str, Any]:
    answer = worker.ask(json.dumps(request.to_dict()).encode(), seconds=60)
    found: dict[str, Any] = json.loads(answer)
    return found


def test_it_stays_small(worker: Worker, job: Job, tmp_path: Path) -> None:
    assert ask(worker, job.setup) == {"ready": True}
    latency = replace(job, kind="latency", options={"target": 0.5, "max_seconds": 0.01})
    latency = replace(latency, files={**job.files, "reference": job.files[MODEL]})
    for one in (job, latency, replace(job, kind="memory")):
        assert "result" in ask(worker, one)
    log = (tmp_path / "worker.log").read_text()
    loaded = set(re.findall(r"^import time:.*\| +(\S+)$", log, re.MULTILINE))
    assert {"onnxruntime", "numpy", "paretune.evaluators.measuring.sampling"} <= loaded
    packages = {name.partition(".")[0] for name in loaded}
    assert not packages & {"torch", "mlflow", "pydantic", "pandas", "onnx", "optuna", "httpx2"}


@pytest.mark.parametrize(
    ("setup", "cpus"),
    [
        (Setup(), CPUS[-1:]),
        (Setup(threads=2), CPUS[-2:]),
        (Setup(threads=len(CPUS) + 1), CPUS),
        (Setup(threads=2, cpus=(CPUS[0],)), CPUS[:1]),
        (Setup(cpus=(CPUS[0],)), CPUS[:1]),
    ],
)
def test_it_is_pinned_with_all_its_threads(
    worker: Worker, job: Job, setup: Setup, cpus: list[int]
) -> None:
    ask(worker, setup)
    result = ask(worker, replace(job, setup=setup))["result"]
    assert result["conditions"]["cpus"] == cpus
    tasks = Path(f"/proc/{worker.process_id}/task").iterdir()
    assert {frozenset(os.sched_getaffinity(int(task.name))) for task in tasks} == {frozenset(cpus)}


def test_cpus_that_may_not_be_used() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(UserError, match="'cpus' holds 5000, but .* may use only 0"):
        pin(Setup(cpus=(CPUS[0], 5000)))
    assert os.sched_getaffinity(0) == before


def test_errors_are_answers(worker: Worker, job: Job, tmp_path: Path) -> None:
    ask(worker, job.setup)
    broken = replace(job, files={**job.files, MODEL: str(tmp_path / "none.onnx")})
    error = failure(ask(worker, broken)["error"])
    assert type(error) is InferenceError
    assert "none.onnx" in str(error)
    wrong = tmp_path / "expected.npz"
    outputs = expected_outputs(Path(job.files[MODEL]), {"x": np.zeros((1, 8), np.float32)})
    save_arrays(wrong, outputs)
    other = replace(job, files={**job.files, EXPECTED: str(wrong)})
    assert type(failure(ask(worker, other)["error"])) is Infeasible
    assert "result" in ask(worker, job)


def test_a_setup_that_is_refused_can_be_followed_by_another(worker: Worker, job: Job) -> None:
    refused = failure(ask(worker, Setup("onnx"))["error"])
    assert type(refused) is UserError
    assert str(refused).startswith("no plugin 'onnx'")
    assert ask(worker, job.setup) == {"ready": True}


class _Kind:
    """Takes the place of a kind that raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def measure(self, *_: object) -> None:
        raise self._error


def chained(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("std::bad_alloc"),
        InferenceError("ONNX Runtime cannot run it: Failed to allocate memory for requested ..."),
        chained(InferenceError("it does not run"), MemoryError()),
        RuntimeError("CUDA out of memory"),
    ],
)
@pytest.mark.parametrize(
    ("memory", "message"),
    [
        (3 << 30, "it needs more memory than the limit of 3,072 MiB"),
        (None, "there is not enough memory for it"),
    ],
)
def test_memory_that_runs_out_is_told_as_such(
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    memory: int | None,
    message: str,
) -> None:
    monkeypatch.setattr("paretune.evaluators.measuring.worker.pin", lambda _: None)
    process = MeasuringProcess()
    process.answer(json.dumps(job.setup.to_dict()).encode(), lambda _: None)
    monkeypatch.setattr("importlib.import_module", lambda _: _Kind(error))
    limited = replace(job, limits=Limits(60, memory))
    answer = process.answer(json.dumps(limited.to_dict()).encode(), lambda _: None)
    assert json.loads(answer) == {"error": {"kind": "candidate", "message": message}}


@pytest.mark.parametrize(
    "kind", [InferenceError, CandidateError, Infeasible, TransientError, UserError]
)
def test_errors_keep_their_kind_on_the_way(kind: type[CandidateError]) -> None:
    back = failure(json.loads(json.dumps(describe_failure(kind("what was wrong")))))
    assert type(back) is kind
    assert str(back) == "what was wrong"


@pytest.mark.parametrize("data", [None, [], {}, {"kind": "user"}, {"kind": "odd", "message": ""}])
def test_what_is_no_failure(data: Any) -> None:
    with pytest.raises(ValueError, match="no failure"):
        failure(data)
