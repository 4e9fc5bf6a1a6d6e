"""What counts as the same answer."""

from pathlib import Path

import numpy as np
import pytest

from paretune.errors import Infeasible, InferenceError
from paretune.evaluators.data import Array
from paretune.evaluators.runtimes.agreement import TOLERANCE, check_agreement
from paretune.evaluators.runtimes.expected import expected_outputs
from paretune.evaluators.runtimes.onnxruntime import OnnxRuntime
from tests import models

RNG = np.random.default_rng(0)
LOGITS = RNG.standard_normal((4, 10)).astype(np.float32)
IDS = np.arange(40).reshape(4, 10)
EXPECTED: dict[str, Array] = {"logits": LOGITS[None], "ids": IDS[None]}


def off(error: float, array: Array = LOGITS) -> Array:
    """The array with an error of this size in a random direction."""
    direction = RNG.standard_normal(array.shape)
    size = np.linalg.norm(array) / np.linalg.norm(direction)
    return (array + error * size * direction).astype(array.dtype)


def test_roundings_pass_and_the_largest_error_is_told() -> None:
    ids = IDS.copy()
    ids[0, 0] = 7
    outputs = {"ids": ids, "logits": off(0.05), "other": np.zeros(1)}
    assert check_agreement(outputs, EXPECTED) == pytest.approx(0.05, rel=1e-5)
    assert check_agreement({"logits": LOGITS, "ids": ids}, EXPECTED) == 1 / 40
    assert check_agreement({"logits": LOGITS, "ids": IDS}, EXPECTED) == 0


@pytest.mark.parametrize(
    ("name", "output", "message"),
    [
        ("logits", off(0.11), r"differs from ONNX Runtime's by 11.0%; .* at most 10.0%"),
        ("logits", LOGITS * np.float32(1.11), "by 11.0%"),
        ("logits", LOGITS[::-1], "'logits' differs"),
        ("logits", np.zeros_like(LOGITS), "by 100.0%"),
        ("logits", LOGITS.astype(np.float64), r"float64 of shape \(4, 10\), but .* float32"),
        ("logits", LOGITS[:2], r"shape \(2, 10\), but ONNX Runtime's is float32 of shape \(4, 10"),
        ("logits", np.where(LOGITS > 1, np.nan, LOGITS), "not finite where ONNX Runtime's is"),
        ("logits", np.where(LOGITS > 1, -np.inf, LOGITS), "not finite where ONNX Runtime's is"),
        ("ids", IDS.T.reshape(4, 10), "'ids' differs from ONNX Runtime's by 9"),
    ],
)
def test_anything_else_does_not(name: str, output: Array, message: str) -> None:
    with pytest.raises(Infeasible, match=message):
        check_agreement({"logits": LOGITS, "ids": IDS, name: output}, EXPECTED)


def test_a_missing_output() -> None:
    with pytest.raises(Infeasible, match="gives ids, scores, but no output 'logits'"):
        check_agreement({"ids": IDS, "scores": LOGITS}, EXPECTED)


def test_a_model_that_rounds_much_may_differ_more() -> None:
    noisy = {"logits": np.stack([LOGITS, off(0.2)])}
    assert check_agreement({"logits": off(0.25)}, noisy) == pytest.approx(0.25, rel=1e-5)
    with pytest.raises(Infeasible, match="by 35.0%; roundings explain at most 30.0%"):
        check_agreement({"logits": off(0.35)}, noisy)
    with pytest.raises(Infeasible, match="by 25.0%"):
        check_agreement({"logits": off(0.25)}, EXPECTED)


def test_a_runtime_may_be_coarse() -> None:
    assert check_agreement({"logits": off(0.15)}, {"logits": LOGITS[None]}, 2 * TOLERANCE) > 0.1


def test_nothing_is_compared_where_nothing_finite_is_expected() -> None:
    expected = LOGITS.copy()
    expected[0, :2] = np.nan, np.inf
    output = LOGITS.copy()
    assert check_agreement({"logits": output}, {"logits": expected[None]}) == 0
    output[1] = 9
    with pytest.raises(Infeasible, match="differs"):
        check_agreement({"logits": output}, {"logits": expected[None]})


def test_outputs_of_zeros_and_of_no_elements() -> None:
    for kind in (np.float32, np.int64):
        for shape in ((3,), (0, 4), ()):
            zeros = np.zeros(shape, kind)
            assert check_agreement({"y": zeros}, {"y": zeros[None]}) == 0
    with pytest.raises(Infeasible, match="by 100.0%"):
        check_agreement({"y": np.ones(1)}, {"y": np.zeros((1, 1))})


def test_expected_are_two_executions(tmp_path: Path) -> None:
    model = models.cnn(tmp_path / "cnn.onnx")
    feeds = {"image": RNG.standard_normal((2, 3, 12, 12)).astype(np.float32)}
    expected = expected_outputs(model, feeds)
    assert expected["logits"].shape == (2, 2, 4)
    outputs = OnnxRuntime().load(model).run(feeds)
    np.testing.assert_array_equal(expected["logits"][0], outputs["logits"])
    np.testing.assert_allclose(expected["logits"][1], outputs["logits"], rtol=1e-4)
    assert check_agreement(outputs, expected) == 0
    with pytest.raises(InferenceError, match="cannot run"):
        expected_outputs(model, {"picture": feeds["image"]})
