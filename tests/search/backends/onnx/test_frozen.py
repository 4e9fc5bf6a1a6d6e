"""Channels that must stay, because something counts them or reads their constants, too."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.helper import make_node, make_tensor_value_info

from paretune.search.backends.onnx import OnnxBackend
from paretune.spaces import Channel, Choice, Policy
from tests.models import floats
from tests.search.backends.onnx.running import ignoring, largest_difference, outputs
from tests.search.backends.onnx.zoo import conv, image_model, images

RNG = np.random.default_rng(0)
Graph = tuple[list[onnx.NodeProto], dict[str, Any]]


def _shared_bias() -> Graph:
    nodes = [
        make_node("Conv", ["image", "a.weight", "shared"], ["x"], "a"),
        make_node("Conv", ["x", "b.weight", "shared"], ["y"], "b"),
    ]
    return nodes, {"shared": floats(RNG, 8)}


def _shared_normalization() -> Graph:
    """Exporters keep equal parameters once."""
    nodes = [
        conv("a", "image", "s"),
        make_node("Relu", ["s"], ["r"], "relu.a"),
        make_node("BatchNormalization", ["r", "one", "zero", "zero", "one"], ["x"], "bn.a"),
        conv("b", "x", "t"),
        make_node("Relu", ["t"], ["u"], "relu.b"),
        make_node("BatchNormalization", ["u", "one", "zero", "zero", "one"], ["y"], "bn.b"),
    ]
    return nodes, {"one": np.full(8, 1.5, np.float32), "zero": floats(RNG, 8)}


def _computed_normalization() -> Graph:
    nodes = [
        make_node("ReduceMean", ["image", "all"], ["mean"], "mean", keepdims=0),
        make_node("Expand", ["mean", "eight"], ["shift"], "expand"),
        conv("a", "image", "s"),
        make_node("BatchNormalization", ["s", "k", "shift", "k2", "k3"], ["x"], "bn"),
        conv("b", "x", "y"),
    ]
    numbers = {name: RNG.uniform(0.5, 1.5, 8).astype(np.float32) for name in ("k", "k2", "k3")}
    return nodes, {"all": np.arange(4), "eight": np.array([8]), **numbers}


def _widened() -> Graph:
    """One channel becomes eight where it meets a constant of eight."""
    nodes = [
        conv("a", "image", "s"),
        conv("one", "s", "m"),
        make_node("Add", ["m", "eight"], ["x"], "widen"),
        conv("b", "x", "y"),
    ]
    weights = {"one.weight": floats(RNG, 1, 8, 1, 1), "one.bias": floats(RNG, 1)}
    return nodes, {**weights, "eight": floats(RNG, 1, 8, 1, 1)}


def _counted() -> Graph:
    """The number of channels is a divisor."""
    nodes = [
        conv("a", "image", "s"),
        make_node("Relu", ["s"], ["r"], "relu"),
        make_node("Shape", ["r"], ["shape"], "shape"),
        make_node("Gather", ["shape", "first"], ["count"], "count"),
        make_node("Cast", ["count"], ["divisor"], "cast", to=TensorProto.FLOAT),
        make_node("Div", ["r", "divisor"], ["x"], "divide"),
        conv("b", "x", "y"),
    ]
    return nodes, {"first": np.array(1)}


def _height() -> Graph:
    """As `_counted`, but with the height: the channels are free."""
    nodes, _ = _counted()
    return nodes, {"first": np.array(2)}


def _reduced() -> Graph:
    """A mean over no axes is one over all of them."""
    nodes = [
        conv("a", "image", "s"),
        make_node("ReduceMean", ["s", "none"], ["mean"], "mean"),
        make_node("Sub", ["s", "mean"], ["x"], "center"),
        conv("b", "x", "y"),
    ]
    return nodes, {"none": np.zeros(0, np.int64)}


CASES = {
    "shared bias": (_shared_bias, set()),
    "shared normalization": (_shared_normalization, set()),
    "computed normalization": (_computed_normalization, {"b"}),
    "widened": (_widened, {"a", "b"}),
    "counted": (_counted, {"b"}),
    "height": (_height, {"a", "b"}),
    "reduced": (_reduced, {"b"}),
}


@pytest.mark.parametrize("name", CASES)
def test_only_free_channels_go(name: str, tmp_path: Path) -> None:
    build, expected = CASES[name]
    assert _removable(_build(*build(), tmp_path / "model.onnx"), tmp_path) == expected


def test_a_weight_that_is_an_output_stays_whole(tmp_path: Path) -> None:
    nodes = [conv("a", "image", "s"), make_node("Relu", ["s"], ["x"], "relu"), conv("b", "x", "y")]
    model = onnx.load(_build(nodes, {}, tmp_path / "model.onnx"))
    model.graph.output.append(make_tensor_value_info("a.weight", TensorProto.FLOAT, [8, 3, 1, 1]))
    onnx.save(model, tmp_path / "more.onnx")
    assert _removable(tmp_path / "more.onnx", tmp_path) == {"b"}


def _build(nodes: list[onnx.NodeProto], weights: dict[str, Any], path: Path) -> Path:
    """`nodes` from `image` to `y` of 8 channels, then a pool and a Gemm."""
    tail = [
        make_node("GlobalAveragePool", ["y"], ["pooled"], "pool"),
        make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        make_node("Gemm", ["flat", "head.weight"], ["logits"], "head"),
    ]
    read = {name for node in nodes for name in node.input}
    common = {
        "a.weight": floats(RNG, 8, 3, 1, 1),
        "b.weight": floats(RNG, 8, 8, 1, 1),
        "a.bias": floats(RNG, 8),
        "b.bias": floats(RNG, 8),
    }
    used = {name: array for name, array in common.items() if name in read}
    return image_model(path, nodes + tail, {**used, **weights, "head.weight": floats(RNG, 8, 4)})


def _removable(path: Path, folder: Path) -> set[str]:
    """The layers that can lose channels; half of them removed must equal half of them ignored."""
    prepared = OnnxBackend().prepare(path, [images()], folder / "cache", {})
    free = {layer for group in prepared.groups if group.size > 1 for layer in group.layers}
    policy = Policy.of(
        {
            layer.name: Choice(sparsity=Channel(0.5)) if layer.name in free else Choice()
            for layer in prepared.layers
        }
    )
    artifact = prepared.apply(policy, folder / "pruned.onnx")
    ignored = ignoring(prepared._parts, policy)
    assert largest_difference(outputs(artifact.path, images()), outputs(ignored, images())) < 1e-5
    return free
