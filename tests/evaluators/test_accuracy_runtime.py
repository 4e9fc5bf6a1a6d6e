"""Accuracy in the runtime that will serve the model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from paretune.errors import UserError
from paretune.evaluators import Artifact, EvaluationContext, EvaluatorSuite
from paretune.search.backends.onnx import OnnxBackend
from paretune.spaces import Choice, Policy, Precision
from tests.evaluators.conftest import mlp_splits
from tests.evaluators.test_accuracy import ALL, measure


@pytest.fixture
def quantized(reference: Artifact, tmp_path: Path) -> Artifact:
    calibration = mlp_splits(reference.path).calibration
    prepared = OnnxBackend().prepare(reference.path, calibration, tmp_path / "cache", {})
    policy = Policy.of({layer.name: Choice(Precision.INT8) for layer in prepared.layers})
    return prepared.apply(policy, tmp_path / "int8.onnx")


def test_openvino_is_close_and_says_its_name(
    context: EvaluationContext, quantized: Artifact
) -> None:
    plain = measure(context, quantized, ALL)
    served = measure(context, quantized, ALL, runtime="openvino", threads=1)
    for name in ALL:
        assert served[name].value == pytest.approx(plain[name].value, abs=0.02)
    assert served["accuracy"].conditions["runtime"] == "openvino CPU f32"
    assert plain["accuracy"].conditions == {
        "split": "search",
        "runtime": "onnxruntime CPUExecutionProvider",
        "runtime_version": onnxruntime.__version__,
    }


def test_it_repeats_to_the_last_digit(context: EvaluationContext, quantized: Artifact) -> None:
    once, again = (
        measure(context, quantized, ALL, runtime="openvino", threads=threads) for threads in (1, 3)
    )
    assert once == again


def test_options_reach_the_runtime(context: EvaluationContext, reference: Artifact) -> None:
    basic = measure(context, reference, ALL, runtime_options={"optimization": "basic"})
    assert basic["agreement"].value == 1
    assert basic["agreement"].conditions["options"] == {"optimization": "basic"}
    with pytest.raises(UserError, match="'optimization' must be one of all.*, but got 'most'"):
        measure(context, reference, ALL, runtime_options={"optimization": "most"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime": "openvno"}, "runtime: unknown runtime 'openvno'; nearest is 'openvino'"),
        ({"runtime_options": 3}, "runtime_options: must be a mapping"),
    ],
)
def test_mistakes_show_before_anything_runs(options: Mapping[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        EvaluatorSuite.declare([{"type": "accuracy", "options": options}])
