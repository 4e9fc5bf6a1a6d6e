"""Peak memory: a process of its own for every figure, as devices do it."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from paretune.errors import Infeasible, InferenceError
from paretune.evaluators.arrays import save_arrays
from paretune.evaluators.devices.local import LocalDevice
from paretune.evaluators.measuring.job import EXPECTED, INPUTS, MODEL, Job, Limits, Setup
from paretune.evaluators.measuring.kinds import memory
from paretune.evaluators.measuring.result import Result
from paretune.evaluators.runtimes.expected import expected_outputs
from tests import models

MIB = 1 << 20
Measure = Callable[..., Result]


def large_output(path: Path, mebibytes: int) -> Path:
    """`x` (1, 8) is copied until it fills so much memory; a file of some bytes."""
    rows = mebibytes * MIB // 32
    return models.save(
        path,
        [helper.make_node("Expand", ["x", "shape"], ["y"])],
        {"x": (TensorProto.FLOAT, [1, 8])},
        {"y": (TensorProto.FLOAT, [rows, 8])},
        {"shape": np.array([rows, 8])},
    )


def large_weight(path: Path, mebibytes: int) -> Path:
    """One row of a table is added to `x` (1, 8)."""
    table = np.ones((mebibytes * MIB // 32, 8), np.float32)
    return models.save(
        path,
        [
            helper.make_node("Gather", ["table", "row"], ["picked"]),
            helper.make_node("Add", ["x", "picked"], ["y"]),
        ],
        {"x": (TensorProto.FLOAT, [1, 8])},
        {"y": (TensorProto.FLOAT, [1, 8])},
        {"table": table, "row": np.array([0])},
    )


@pytest.fixture
def measure(tmp_path: Path) -> Iterator[Measure]:
    inputs = tmp_path / "inputs.npz"
    save_arrays(inputs, {"x": np.ones((1, 8), np.float32)})

    with closing(LocalDevice()) as device:

        def run(model: Path, more: Mapping[str, str] | None = None) -> Result:
            files = {MODEL: str(model), INPUTS: str(inputs), **(more or {})}
            return device.run(Job("memory", Setup(), files, {}, Limits(60)))

        yield run


def peak(result: Result) -> float:
    return result.figures["peak_memory"].value


def test_64_mib_more_of_activations_take_64_mib_more(measure: Measure, tmp_path: Path) -> None:
    small = peak(measure(large_output(tmp_path / "small.onnx", 1)))
    large = peak(measure(large_output(tmp_path / "large.onnx", 65)))
    assert large - small == pytest.approx(64 * MIB, rel=0.1)


def test_a_weight_is_there_twice_while_onnx_runtime_loads_it(
    measure: Measure, tmp_path: Path
) -> None:
    small = peak(measure(large_weight(tmp_path / "small.onnx", 1)))
    result = measure(large_weight(tmp_path / "large.onnx", 65))
    assert peak(result) - small == pytest.approx(2 * 64 * MIB, rel=0.1)
    samples = result.samples
    # The peak was there before the first run.
    assert samples["peak_bytes"] - samples["load_peak_bytes"] < 8 * MIB


def test_the_figure_repeats_whatever_was_measured_before(measure: Measure, tmp_path: Path) -> None:
    small = large_output(tmp_path / "small.onnx", 8)
    first = measure(small)
    assert peak(measure(large_output(tmp_path / "large.onnx", 128))) > 100 * MIB
    again = measure(small)
    assert peak(again) == pytest.approx(peak(first), rel=0.1)
    assert again.conditions == first.conditions
    assert first.conditions["high_water_since"] == "reset"
    estimate = first.figures["peak_memory"]
    assert estimate.low == estimate.value == estimate.high > 8 * MIB


def test_a_refused_model(measure: Measure, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_text("no model")
    with pytest.raises(InferenceError, match="broken.onnx"):
        measure(broken)


def test_outputs_are_compared_and_that_takes_no_memory_of_the_models(
    measure: Measure, tmp_path: Path
) -> None:
    model, expected = large_output(tmp_path / "model.onnx", 16), tmp_path / "expected.npz"
    outputs = expected_outputs(model, {"x": np.ones((1, 8), np.float32)})
    save_arrays(expected, outputs)
    compared = measure(model, {EXPECTED: str(expected)})
    assert peak(compared) == pytest.approx(peak(measure(model)), rel=0.1)
    outputs["y"] *= 2
    save_arrays(expected, outputs)
    with pytest.raises(Infeasible, match="output 'y' differs from ONNX Runtime's by"):
        measure(model, {EXPECTED: str(expected)})


IN_A_PROCESS = """
import json, sys
import numpy as np
from pathlib import Path
from paretune.evaluators.measuring.job import MODEL, Job, Limits, Setup
from paretune.evaluators.measuring.kinds import memory

MIB = 1 << 20

class Model:
    def run(self, feeds):
        np.ones(32 * MIB // 8)

class Runtime:
    name = version = "numpy"

    def load(self, path):
        self.weights = np.ones(16 * MIB // 8)
        return Model()

class Workplace:
    setup = Setup()
    runtime = Runtime()

    def feeds(self, job):
        np.ones(96 * MIB // 8)
        return {}

    def check(self, model, job):
        np.ones(96 * MIB // 8)

if sys.argv[1]:
    memory._CLEAR = memory._STATUS = Path(sys.argv[1])
job = Job("memory", Setup(), {MODEL: ""}, {}, Limits(60))
result = memory.measure(job, Workplace(), lambda text: None)
print(json.dumps(result.to_dict()))
"""


def with_numpy(missing: str) -> dict[str, Any]:
    """A runtime that is known to the byte; inputs that take more than the model, for a while."""
    command = [sys.executable, "-c", IN_A_PROCESS, missing]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_weights_and_activations_count_and_what_was_before_does_not() -> None:
    result = with_numpy("")
    assert result["figures"]["peak_memory"]["value"] == pytest.approx(48 * MIB, rel=0.02)
    assert result["samples"]["runs"] == memory._RUNS


def test_where_the_mark_cannot_be_reset_the_conditions_say_so(tmp_path: Path) -> None:
    """Then the figure is too small by what was given back before; it is not mixed with others."""
    result = with_numpy(str(tmp_path / "missing" / "file"))
    assert result["conditions"]["high_water_since"] == "start"
    assert 0 <= result["figures"]["peak_memory"]["value"] < 16 * MIB
