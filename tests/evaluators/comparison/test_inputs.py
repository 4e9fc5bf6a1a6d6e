"""Inputs for a comparison: made up, or read from a file."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from onnx.helper import make_node

from paretune.errors import UserError
from paretune.evaluators.comparison import check_inputs, made_inputs, read_inputs
from paretune.evaluators.runtimes.onnxruntime import OnnxRuntime
from tests import models

FLOAT, HALF, BOOL, TEXT = (
    int(kind)
    for kind in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BOOL, TensorProto.STRING)
)


def _taking(path: Path, **inputs: tuple[int, models.Shape]) -> Path:
    """A model with these inputs."""
    nodes = [make_node("Identity", [name], [f"{name}.out"]) for name in inputs]
    outputs = {f"{name}.out": value for name, value in inputs.items()}
    return models.save(path, nodes, inputs, outputs, {})


def test_floats_are_random_and_whole_numbers_lie_in_every_table(tmp_path: Path) -> None:
    model = models.two_inputs(tmp_path / "two.onnx", vocabulary=2)
    shapes = {"ids": (3, 5), "mask": (3, 5)}
    made = made_inputs(model, shapes=shapes)
    assert list(made) == ["ids", "mask"]
    assert made["ids"].dtype == np.int64
    assert (made["ids"] == 1).all()
    assert made["mask"].dtype == np.float32
    assert len(np.unique(made["mask"])) == 15
    again = made_inputs(model, shapes=shapes)
    np.testing.assert_array_equal(made["mask"], again["mask"])
    assert OnnxRuntime().load(model).run(made)["logits"].shape == (3, 3)


def test_the_first_free_dimension_is_the_batch(tmp_path: Path) -> None:
    free = models.cnn(tmp_path / "free.onnx")
    assert made_inputs(free)["image"].shape == (1, 3, 12, 12)
    assert made_inputs(free, batch=4)["image"].shape == (4, 3, 12, 12)
    fixed = models.mlp(tmp_path / "fixed.onnx", batch=6)
    assert made_inputs(fixed)["x"].shape == made_inputs(fixed, batch=6)["x"].shape == (6, 8)
    with pytest.raises(UserError, match=r"takes 'x' float32 \(6, 8\), so the batch cannot be 4"):
        made_inputs(fixed, batch=4)


def test_other_types_and_scalars(tmp_path: Path) -> None:
    model = _taking(tmp_path / "m.onnx", half=(HALF, ["n", 2]), flag=(BOOL, ["n"]), s=(FLOAT, []))
    made = made_inputs(model, batch=2)
    assert {name: (str(x.dtype), x.shape) for name, x in made.items()} == {
        "half": ("float16", (2, 2)),
        "flag": ("bool", (2,)),
        "s": ("float32", ()),
    }
    text = _taking(tmp_path / "text.onnx", words=(TEXT, ["n"]))
    with pytest.raises(UserError, match="no values can be made for the input 'words'"):
        made_inputs(text)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({}, r"takes 'ids' int64 \(\?, \?\), whose shape is partly free; .* --shape ids=1,128"),
        ({"isd": (1, 2)}, "has no input 'isd'; nearest is 'ids'; allowed are ids, mask"),
        ({"ids": (1, 2, 3)}, r"'ids' int64 \(\?, \?\), so its shape cannot be 1,2,3"),
        ({"ids": (1, 0)}, "its shape cannot be 1,0"),
    ],
)
def test_shapes_that_cannot_be(
    shapes: dict[str, tuple[int, ...]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        made_inputs(models.two_inputs(tmp_path / "two.onnx"), shapes=shapes)


def test_a_fixed_dimension_stays(tmp_path: Path) -> None:
    model = models.cnn(tmp_path / "cnn.onnx")
    assert made_inputs(model, shapes={"image": (2, 3, 12, 12)})["image"].shape[0] == 2
    with pytest.raises(UserError, match="its shape cannot be 1,3,12,13"):
        made_inputs(model, shapes={"image": (1, 3, 12, 13)})


def test_arrays_are_read_by_name(tmp_path: Path) -> None:
    path = tmp_path / "inputs.npz"
    np.savez(path, x=np.ones((2, 8), np.float32))
    found = read_inputs(path)
    assert found["x"].shape == (2, 8)
    check_inputs(models.mlp(tmp_path / "mlp.onnx"), found)


def test_files_that_hold_no_arrays(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file '.*none.npz'"):
        read_inputs(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "array.npy", np.ones(3))
    for name in ("text.npz", "array.npy"):
        with pytest.raises(UserError, match="must be an .npz file of arrays by input name"):
            read_inputs(tmp_path / name)
    np.savez(tmp_path / "objects.npz", allow_pickle=True, x=np.array([{}], object))
    with pytest.raises(UserError, match="cannot be read as an .npz file of numbers"):
        read_inputs(tmp_path / "objects.npz")


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({"y": np.ones((1, 8), np.float32)}, r"has no input 'y'; it takes 'x' float32 \(\?, 8\)"),
        ({"x": np.ones((1, 8))}, r"takes 'x' float32 .*, but 'x' is float64 of shape \(1, 8\)"),
        ({"x": np.ones((1, 7), np.float32)}, r"but 'x' is float32 of shape \(1, 7\)"),
        ({}, r"also takes 'x' float32 \(\?, 8\), but there is only nothing"),
    ],
)
def test_arrays_that_do_not_fit(feeds: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        check_inputs(models.mlp(tmp_path / "mlp.onnx"), feeds)
