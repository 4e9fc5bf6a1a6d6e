"""Data that does not fit the model is refused before anything runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from paretune.errors import UserError
from paretune.evaluators import Batch, ModelInput, Splits, check_splits, model_inputs, model_outputs
from tests import models

IDS = np.zeros((4, 7), np.int64)
MASK = np.ones((4, 7), np.float32)
GOOD = Batch({"ids": IDS, "mask": MASK}, np.zeros(4, np.int64))


def splits(search: Sequence[Batch], **others: Sequence[Batch]) -> Splits:
    return Splits(others.get("calibration", [GOOD]), search, others.get("test", [GOOD]))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return models.two_inputs(tmp_path / "model.onnx")


def test_describes_inputs_and_outputs(model: Path) -> None:
    ids, mask = model_inputs(model)
    assert ids == ModelInput("ids", np.dtype(np.int64), (None, None), True)
    assert str(mask) == "'mask' float32 (?, ?)"
    assert model_outputs(model) == ("tokens", "logits")


@pytest.mark.parametrize("opset", [11, 13, 17, 21])
def test_good_data_passes(tmp_path: Path, opset: int) -> None:
    model = models.two_inputs(tmp_path / "model.onnx", opset=opset)
    longer = Batch(
        {"ids": np.zeros((2, 9), np.int64), "mask": np.ones((2, 9), np.float32)}, IDS[:2]
    )
    check_splits(splits([GOOD, longer]), model)


def with_inputs(**changes: Any) -> Batch:
    inputs: Mapping[str, Any] = {k: v for k, v in (GOOD.inputs | changes).items() if v is not None}  # type: ignore[operator]
    return Batch(inputs, GOOD.targets)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (with_inputs(mask=None), "batch 0 of 'search' lacks the input 'mask'; .*takes 'ids' int64"),
        (with_inputs(mask=None, mmask=MASK), "no input 'mmask'; nearest is 'mask'"),
        (with_inputs(ids=IDS.astype(np.int32)), "'ids' has dtype int32, but the model takes int64"),
        (with_inputs(mask=MASK.astype(np.float64)), r"dtype float64.*astype\(np.float32\)"),
        (with_inputs(ids=IDS[0]), r"'ids' has shape \(7,\), but the model takes 'ids' int64"),
        (with_inputs(ids=np.int64(1)), "'ids' must have shape .samples, ....*scalar"),
        (with_inputs(mask=MASK[:3]), "numbers of samples differ: 'ids' 4, 'mask' 3, the targets 4"),
        (with_inputs(mask=MASK * np.nan), "'mask' holds NaN"),
        (Batch(GOOD.inputs, np.zeros(5)), "numbers of samples differ: .* the targets 5"),
        (
            Batch(GOOD.inputs, np.array(1)),
            "targets must have shape .samples, ...., but got a scalar",
        ),
        (with_inputs(ids=IDS[:0], mask=MASK[:0]), "numbers of samples differ"),
    ],
)
def test_a_batch_that_does_not_fit(model: Path, batch: Batch, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_splits(splits([batch]), model)


def test_data_of_another_type_than_the_models(model: Path) -> None:
    """As artifacts take them that convert their inputs themselves."""
    types = {"mask": np.dtype(np.uint8)}
    narrow = with_inputs(mask=MASK.astype(np.uint8))
    check_splits(Splits([narrow], [narrow], [narrow]), model, types)
    with pytest.raises(UserError, match="'mask' has dtype float32, but the model takes uint8"):
        check_splits(Splits([GOOD], [narrow], [narrow]), model, types)


def test_no_samples(model: Path) -> None:
    empty = Batch({"ids": IDS[:0], "mask": MASK[:0]})
    for batches in ([], [empty]):
        with pytest.raises(UserError, match="the split 'calibration' has no samples"):
            check_splits(splits([GOOD], calibration=batches), model)


def test_targets_in_only_some_places(model: Path) -> None:
    without = Batch(GOOD.inputs)
    with pytest.raises(UserError, match="in all batches of 'search' or in none, but 1 of 2"):
        check_splits(splits([GOOD, without]), model)
    with pytest.raises(UserError, match="'test' has targets, but 'search' has none"):
        check_splits(splits([without]), model)
    check_splits(splits([without], test=[without], calibration=[without]), model)


def test_static_dimensions(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    path = models.save(
        tmp_path / "static.onnx",
        [node],
        {"x": (TensorProto.FLOAT, [2, 3])},
        {"y": (TensorProto.FLOAT, [2, 3])},
        {},
    )
    two, one, wide = (Batch({"x": np.ones(s, np.float32)}) for s in ((2, 3), (1, 3), (2, 4)))
    check_splits(Splits([two], [two], [two]), path)
    with pytest.raises(UserError, match="its batch size is fixed, so batches must have 2 samples"):
        check_splits(Splits([two], [two], [two, one]), path)
    with pytest.raises(
        UserError, match=r"shape \(2, 4\), but the model takes 'x' float32 \(2, 3\)$"
    ):
        check_splits(Splits([wide], [two], [two]), path)


def test_an_input_with_a_default_may_be_left_out(tmp_path: Path) -> None:
    path = models.save(
        tmp_path / "default.onnx",
        [helper.make_node("Add", ["x", "bias"], ["y"])],
        {"x": (TensorProto.FLOAT, ["n", 3]), "bias": (TensorProto.FLOAT, [3])},
        {"y": (TensorProto.FLOAT, ["n", 3])},
        {"bias": np.ones(3, np.float32)},
    )
    assert [given.required for given in model_inputs(path)] == [True, False]
    batch = Batch({"x": np.ones((2, 3), np.float32)})
    check_splits(Splits([batch], [batch], [batch]), path)


def test_inputs_that_are_no_numbers(tmp_path: Path) -> None:
    path = models.save(
        tmp_path / "text.onnx",
        [helper.make_node("Identity", ["text"], ["same"])],
        {"text": (TensorProto.STRING, ["n"])},
        {"same": (TensorProto.STRING, ["n"])},
        {},
    )
    batch = Batch({"text": np.array(["a"])})
    with pytest.raises(UserError, match="input 'text' is no tensor of numbers"):
        check_splits(Splits([batch], [batch], [batch]), path)


def test_files_that_are_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no model file '.*none.onnx'"):
        model_inputs(tmp_path / "none.onnx")
    text = tmp_path / "text.onnx"
    text.write_text("not a model")
    with pytest.raises(UserError, match="cannot be read as an ONNX model"):
        model_inputs(text)


def test_external_data_is_not_read(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "external.onnx"
    onnx.save(
        onnx.load(model),
        other,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    (tmp_path / "weights.bin").unlink()
    assert [given.name for given in model_inputs(other)] == ["ids", "mask"]
