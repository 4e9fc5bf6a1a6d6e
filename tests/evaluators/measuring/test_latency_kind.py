"""The kind `latency`, with real models in ONNX Runtime."""

import gc
import json
from pathlib import Path

import numpy as np
import pytest

from paretune.errors import InferenceError, UserError
from paretune.evaluators.arrays import save_arrays
from paretune.evaluators.measuring.job import INPUTS, MODEL, REFERENCE, Job, Limits, Setup
from paretune.evaluators.measuring.kinds import latency
from paretune.evaluators.measuring.workplace import Workplace
from tests import models


@pytest.fixture
def job(tmp_path: Path) -> Job:
    files = {
        REFERENCE: str(models.mlp(tmp_path / "reference.onnx")),
        MODEL: str(models.mlp(tmp_path / "candidate.onnx")),
        INPUTS: str(tmp_path / "inputs.npz"),
    }
    save_arrays(tmp_path / "inputs.npz", {"x": np.ones((3, 8), np.float32)})
    return Job("latency", Setup(), files, {"max_seconds": 0.05}, Limits(60))


def test_it_measures(job: Job) -> None:
    notes: list[str] = []
    result = latency.measure(job, Workplace(job.setup), notes.append)
    assert set(result.figures) == {"latency", "reference_latency", "ratio", "p90", "p99"}
    for figure in result.figures.values():
        assert 0 < figure.low <= figure.value <= figure.high
    assert result.conditions["batch"] == 3
    assert result.conditions["runtime"] == "onnxruntime CPUExecutionProvider"
    assert set(result.flags) <= {"disturbed", "cold"}
    assert notes == ["loads the model", "samples the latency"]
    assert json.loads(json.dumps(result.to_dict()))
    assert gc.isenabled()


def test_a_model_that_does_not_run_on_the_inputs(job: Job) -> None:
    models.mlp(Path(job.files[MODEL]), features=9)
    with pytest.raises(InferenceError, match="cannot run the model"):
        latency.measure(job, Workplace(job.setup), lambda _: None)


def test_a_reference_that_does_not_run_on_the_inputs(job: Job) -> None:
    models.mlp(Path(job.files[REFERENCE]), features=9)
    with pytest.raises(UserError, match="the reference model, in onnxruntime"):
        latency.measure(job, Workplace(job.setup), lambda _: None)
