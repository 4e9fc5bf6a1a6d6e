"""Running models over batches."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from paretune.errors import Infeasible
from paretune.evaluators import Batch, InferenceError, from_arrays, run_batches
from paretune.evaluators.inference import FiniteCheck
from tests import models


@pytest.mark.parametrize("threads", [1, 3, None])
def test_outputs_come_in_order_and_equal_a_plain_session(
    tmp_path: Path, threads: int | None
) -> None:
    model = models.cnn(tmp_path / "cnn.onnx")
    images = np.random.default_rng(0).standard_normal((23, 3, 12, 12)).astype(np.float32)
    outputs = list(run_batches(model, from_arrays({"image": images}, batch_size=2), threads))
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options)
    expected = [session.run(None, {"image": images[i : i + 2]})[0] for i in range(0, 23, 2)]
    assert [list(o) for o in outputs] == [["logits"]] * 12
    for mine, plain in zip(outputs, expected, strict=True):
        np.testing.assert_array_equal(mine["logits"], plain)


def test_all_outputs_by_name(tmp_path: Path) -> None:
    model = models.two_inputs(tmp_path / "two.onnx")
    batch = Batch({"ids": np.zeros((2, 5), np.int64), "mask": np.ones((2, 5), np.float32)})
    (outputs,) = run_batches(model, [batch])
    assert {name: x.shape for name, x in outputs.items()} == {"tokens": (2, 5, 8), "logits": (2, 3)}


@pytest.mark.parametrize("threads", [1, 2])
def test_what_the_runtime_refuses(
    tmp_path: Path, threads: int, capfd: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.onnx"
    text.write_text("no model")
    with pytest.raises(InferenceError, match=r"cannot load '.*text.onnx'"):
        list(run_batches(text, [], threads))
    model = models.two_inputs(tmp_path / "two.onnx", vocabulary=20)
    good = Batch({"ids": np.zeros((1, 5), np.int64), "mask": np.ones((1, 5), np.float32)})
    bad = Batch({"ids": np.full((1, 5), 20), "mask": np.ones((1, 5), np.float32)})
    with pytest.raises(InferenceError, match=r"cannot run the model: .*out of data bounds"):
        list(run_batches(model, [good, bad, good, good], threads))
    assert capfd.readouterr().err == ""


def test_finite_outputs_pass() -> None:
    check = FiniteCheck()
    check.update({"logits": np.zeros((4, 2), np.float32), "ids": np.zeros(4, np.int64)}, 4)
    assert not check.failed
    check.finish()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "output 'logits' holds NaN for 3 of 8 samples"),
        (np.inf, "output 'logits' holds infinite values for 3 of 8 samples"),
    ],
)
def test_counts_samples_that_are_not_finite(value: float, message: str) -> None:
    check = FiniteCheck()
    first, second = np.zeros((4, 5, 2), np.float32), np.zeros((4, 5, 2), np.float32)
    first[1, 2, 0] = first[1, 3, 1] = first[3, 0, 0] = second[0, 0, 0] = value
    for outputs in (first, second):
        check.update({"other": np.zeros(1), "logits": outputs}, 4)
    assert check.failed
    with pytest.raises(Infeasible, match=message):
        check.finish()


def test_an_output_without_samples_counts_for_the_whole_batch() -> None:
    check = FiniteCheck()
    check.update({"loss": np.array(np.nan)}, 4)
    with pytest.raises(Infeasible, match="holds NaN for 4 of 4"):
        check.finish()
