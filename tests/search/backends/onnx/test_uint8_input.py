"""Models that take bytes compute what they did with normalized floats, also at borders."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from onnx.helper import make_node

from paretune.errors import UserError
from paretune.evaluators import Batch
from paretune.search.backends.onnx import OnnxBackend, OnnxPrepared
from paretune.spaces import Channel, Choice, Policy, Precision
from tests.models import cnn, floats, mlp, save
from tests.search.backends.onnx.running import largest_difference, outputs
from tests.search.backends.onnx.zoo import ZOO, conv, image_model

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
NORMALIZATIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "imagenet": IMAGENET,
    "half": {"mean": 0.5, "std": 0.5},
    "whole level": {"mean": 128, "std": 64, "divisor": 1},
    "levels of their own": {"mean": [100, 110, 126], "std": 60, "divisor": 1},
    "scales of their own": {"mean": 128, "std": [20, 60, 100], "divisor": 1},
    "dark": {"mean": [-1.5, -0.2, 0.1], "std": 0.5},
    "bright": {"mean": [1.2, 1.0, 0.9], "std": 0.5},
}


def _pixels(count: int = 8, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch({"image": rng.integers(0, 256, (count, 3, 12, 12), dtype=np.uint8)})


def _normalized(pixels: NDArray[np.uint8], how: dict[str, Any]) -> NDArray[np.float32]:
    """Written out, one channel after the other."""
    found = np.empty(pixels.shape, np.float32)
    for channel in range(pixels.shape[1]):
        mean, std = (
            value[channel] if isinstance(value, list) else value
            for value in (how.get("mean", 0), how.get("std", 1))
        )
        levels = pixels[:, channel].astype(np.float64)
        found[:, channel] = (levels / how.get("divisor", 255) - mean) / std
    return found


def _prepare(path: Path, batch: Batch, how: dict[str, Any], **options: Any) -> OnnxPrepared:
    (name,) = batch.inputs
    options = {"uint8_inputs": {name: how}, "solver": "naive", **options}
    return OnnxBackend().prepare(path, [batch], path.parent / "cache", options)


def _same(prepared: OnnxPrepared, path: Path, batch: Batch, how: dict[str, Any]) -> float:
    (name,) = batch.inputs
    exact = Batch({name: _normalized(batch.inputs[name], how)})
    return largest_difference(outputs(prepared.reference.path, batch), outputs(path, exact))


def _int8(prepared: OnnxPrepared) -> Policy:
    table = prepared.capabilities.precisions
    return Policy.of(
        {
            layer.name: Choice(Precision.INT8)
            if (Precision.INT8, layer.op_type) in table
            else Choice()
            for layer in prepared.layers
        }
    )


def _optimized(path: Path) -> list[onnx.NodeProto]:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(path.with_suffix(".optimized.onnx"))
    options.log_severity_level = 3
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return list(onnx.load(options.optimized_model_filepath).graph.node)


@pytest.mark.parametrize("how", NORMALIZATIONS)
@pytest.mark.parametrize("model", ["cnn", "mobile", "dense", "grouped", "switched_off"])
def test_the_reference_computes_what_the_model_did(model: str, how: str, tmp_path: Path) -> None:
    path = ZOO[model](tmp_path / "model.onnx")
    prepared = _prepare(path, _pixels(), NORMALIZATIONS[how])
    assert _same(prepared, path, _pixels(seed=1), NORMALIZATIONS[how]) < 1e-5


@pytest.mark.parametrize("how", NORMALIZATIONS)
def test_int8_layers_read_the_bytes(how: str, tmp_path: Path) -> None:
    path = cnn(tmp_path / "model.onnx")
    prepared = _prepare(path, _pixels(), NORMALIZATIONS[how])
    artifact = prepared.apply(_int8(prepared), tmp_path / "candidate.onnx")
    found = largest_difference(
        outputs(artifact.path, _pixels()), outputs(prepared.reference.path, _pixels())
    )
    assert found < 0.06
    nodes = _optimized(artifact.path)
    producers = {name: node for node in nodes for name in node.output}
    stem = next(node for node in nodes if node.name.startswith("stem"))
    assert stem.op_type == "QLinearConv"
    read = stem.input[0]
    while read in producers:
        assert producers[read].op_type in ("Transpose", "Pad")
        read = producers[read].input[0]
    assert read == "image"


def test_only_what_has_to_be_is_added(tmp_path: Path) -> None:
    def added(how: str, pads: int) -> list[str]:
        nodes = [
            conv("stem", "image", "s", pads=[pads] * 4),
            make_node("GlobalAveragePool", ["s"], ["p"], "pool"),
            make_node("Flatten", ["p"], ["logits"], "flatten"),
        ]
        rng = np.random.default_rng(0)
        weights = {"stem.weight": floats(rng, 8, 3, 3, 3), "stem.bias": floats(rng, 8)}
        path = image_model(tmp_path / f"{how}{pads}.onnx", nodes, weights)
        prepared = _prepare(path, _pixels(), NORMALIZATIONS[how])
        assert _same(prepared, path, _pixels(), NORMALIZATIONS[how]) < 1e-5
        kinds = [node.op_type for node in onnx.load(prepared.reference.path).graph.node]
        return kinds[: kinds.index("Conv")]

    assert added("whole level", 1) == ["DequantizeLinear"]
    assert added("scales of their own", 1) == ["DequantizeLinear"]
    assert added("imagenet", 0) == ["DequantizeLinear"]
    assert added("imagenet", 1) == ["Pad", "DequantizeLinear"]


@pytest.mark.parametrize("how", ["imagenet", "half"])
@pytest.mark.parametrize("kind", ["Gemm", "MatMul"])
def test_through_a_flatten(kind: str, how: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = {
        "flat": np.array([-1, 3 * 144], np.int64),
        "fc.weight": floats(rng, 3 * 144, 4),
        "fc.bias": floats(rng, 4),
    }
    inputs = ["f", "fc.weight"] + (["fc.bias"] if kind == "Gemm" else [])
    nodes = [
        make_node("Reshape", ["image", "flat"], ["f"], "flatten"),
        make_node(kind, inputs, ["logits"], "fc"),
    ]
    path = image_model(tmp_path / "model.onnx", nodes, weights)
    prepared = _prepare(path, _pixels(), NORMALIZATIONS[how])
    assert _same(prepared, path, _pixels(seed=1), NORMALIZATIONS[how]) < 1e-5
    kinds = [node.op_type for node in onnx.load(prepared.reference.path).graph.node]
    assert kinds == ["DequantizeLinear", "Flatten", "Gemm"]
    artifact = prepared.apply(_int8(prepared), tmp_path / "candidate.onnx")
    assert largest_difference(outputs(artifact.path, _pixels()), outputs(path, Batch(
        {"image": _normalized(_pixels().inputs["image"], NORMALIZATIONS[how])}
    ))) < 0.06  # fmt: skip


def test_features_of_a_table(tmp_path: Path) -> None:
    """Every feature has a mean and a deviation of its own."""
    path = mlp(tmp_path / "model.onnx")
    rng = np.random.default_rng(0)
    how = {
        "mean": rng.uniform(80, 160, 8).tolist(),
        "std": rng.uniform(20, 80, 8).tolist(),
        "divisor": 1,
    }
    batch = Batch({"x": rng.integers(0, 256, (32, 8), dtype=np.uint8)})
    prepared = _prepare(path, batch, how)
    assert _same(prepared, path, batch, how) < 1e-5
    kinds = [node.op_type for node in onnx.load(prepared.reference.path).graph.node]
    assert kinds == ["DequantizeLinear", "Gemm", "Relu", "Gemm"]


def test_channels_last(tmp_path: Path) -> None:
    nodes = [
        make_node("Transpose", ["image"], ["t"], "first", perm=[0, 3, 1, 2]),
        conv("stem", "t", "s", pads=[1] * 4),
        make_node("GlobalAveragePool", ["s"], ["p"], "pool"),
        make_node("Flatten", ["p"], ["logits"], "flatten"),
    ]
    rng = np.random.default_rng(0)
    path = save(
        tmp_path / "model.onnx",
        nodes,
        {"image": (TensorProto.FLOAT, ["batch", 12, 12, 3])},
        {"logits": (TensorProto.FLOAT, ["batch", 8])},
        {"stem.weight": floats(rng, 8, 3, 3, 3), "stem.bias": floats(rng, 8)},
    )
    pixels = rng.integers(0, 256, (8, 12, 12, 3), dtype=np.uint8)
    prepared = _prepare(path, Batch({"image": pixels}), {**IMAGENET, "axis": -1})
    first = _normalized(np.moveaxis(pixels, -1, 1), IMAGENET)
    exact = Batch({"image": np.moveaxis(first, 1, -1)})
    found = outputs(prepared.reference.path, Batch({"image": pixels}))
    assert largest_difference(found, outputs(path, exact)) < 1e-5


def test_channels_are_removed_as_before(tmp_path: Path) -> None:
    path = cnn(tmp_path / "model.onnx")
    prepared = _prepare(path, _pixels(), IMAGENET)
    assert [group.layers for group in prepared.groups]
    named = {name for group in prepared.groups for name in group.layers}
    policy = Policy.of(
        {
            layer.name: Choice(Precision.INT8, Channel(0.5))
            if layer.name in named
            else Choice(Precision.INT8)
            for layer in prepared.layers
        }
    )
    artifact = prepared.apply(policy, tmp_path / "candidate.onnx")
    assert artifact.policy == policy
    assert np.isfinite(outputs(artifact.path, _pixels())["logits"]).all()


@pytest.mark.parametrize("options", [{"equalize": True}, {"smooth": 0.5}])
def test_with_rescaled_channels(options: dict[str, Any], tmp_path: Path) -> None:
    path = cnn(tmp_path / "model.onnx")
    prepared = _prepare(path, _pixels(), IMAGENET, **options)
    assert _same(prepared, path, _pixels(seed=1), IMAGENET) < 1e-4


@pytest.mark.parametrize(
    ("batch", "inputs", "message"),
    [
        (_pixels(), {"imag": {}}, "no input 'imag'.*image"),
        (_pixels(), {"image": {"mean": [0.1, 0.2]}}, "image.mean: 2 values.* 3 channels at axis 1"),
        (_pixels(), {"image": {"std": 0}}, "image.std.*greater than 0.*got 0"),
        (_pixels(), {"image": {"axis": 0}}, "image.axis: 0 is no channel axis"),
        (_pixels(), {"image": {"means": 1}}, "unknown key 'means'"),
        (
            Batch({"image": np.zeros((4, 3, 12, 12), np.float32)}),
            {"image": {}},
            "image: the data must be uint8, but got float32",
        ),
    ],
)
def test_mistakes_are_named(
    batch: Batch, inputs: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = cnn(tmp_path / "model.onnx")
    with pytest.raises(UserError, match=message):
        OnnxBackend().prepare(path, [batch], tmp_path / "cache", {"uint8_inputs": inputs})


def test_whole_numbers_cannot_become_bytes(tmp_path: Path) -> None:
    path = ZOO["text"](tmp_path / "model.onnx")
    batch = Batch({"ids": np.zeros((4, 6), np.uint8), "mask": np.ones((4, 6), np.float32)})
    options: dict[str, Any] = {"uint8_inputs": {"ids": {}}}
    with pytest.raises(UserError, match="ids: the model takes it as int64; only float32"):
        OnnxBackend().prepare(path, [batch], tmp_path / "cache", options)
