"""Whatever scales the free atoms get, the graph computes the same."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx.helper import make_node

from paretune.evaluators import Batch
from paretune.search.backends.onnx.graph import Graph
from paretune.search.backends.onnx.layers import find_layers
from paretune.search.backends.onnx.rescaling import Scaled, ScaleMap, rescaled
from paretune.search.backends.onnx.scale_map import map_scales
from tests.models import floats
from tests.search.backends.onnx.graphs import clean_graph, save_network
from tests.search.backends.onnx.running import largest_difference, outputs
from tests.search.backends.onnx.zoo import ZOO, conv, data_of

Weights = dict[str, NDArray[Any]]
SIZE = 8
FIXED = np.zeros((), np.int64)


def scales_of(found: ScaleMap, seed: int = 0) -> NDArray[np.float64]:
    scales = 2.0 ** np.random.default_rng(seed).uniform(-4, 4, found.count)
    scales[0] = 1
    return scales


def check(graph: Graph, batch: Batch, seed: int = 0) -> ScaleMap:
    """Rescale at random and compare."""
    found = map_scales(graph, find_layers(graph))
    model = rescaled(graph, found, scales_of(found, seed))
    exact = outputs(graph.model, batch)
    assert largest_difference(outputs(model, batch), exact) < 2e-5
    return found


@pytest.mark.parametrize("name", ZOO)
def test_zoo(name: str, tmp_path: Path) -> None:
    graph = clean_graph(ZOO[name](tmp_path / "m.onnx"), data_of(name))
    assert check(graph, data_of(name)).count > 1


# One operator between two convolutions of 4 channels, or none

Between = tuple[Sequence[onnx.NodeProto], Weights]


def node(kind: str, *more: str, **values: Any) -> list[onnx.NodeProto]:
    return [make_node(kind, ["a", *more], ["b"], kind, **values)]


ONE = np.ones(1, np.float32)
COLUMN = np.array([0.5, 2, -1, 3], np.float32).reshape(4, 1, 1)
SPACE = np.array([2, 3], np.int64)
LIMITS = {"low": np.array(0, np.float32), "high": np.array(0.5, np.float32)}
PASSING: dict[str, Between] = {
    "relu": (node("Relu"), {}),
    "leaky": (node("LeakyRelu", alpha=0.1), {}),
    "prelu": (node("PRelu", "slope"), {"slope": COLUMN}),
    "clip from 0": (node("Clip", "low"), LIMITS),
    "max pool": (node("MaxPool", kernel_shape=[2, 2], pads=[1, 0, 0, 1]), {}),
    "average pool": (node("AveragePool", kernel_shape=[3, 3], pads=[1] * 4), {}),
    "global max pool": (node("GlobalMaxPool"), {}),
    "mean over one axis": (node("ReduceMean", "axis"), {"axis": SPACE[:1]}),
    "zero padding": (node("Pad", "pads"), {"pads": np.array([0, 0, 1, 2, 0, 0, 0, 1], np.int64)}),
    "resize": (
        node("Resize", "", "scales", mode="linear"),
        {"scales": np.array([1, 1, 2, 2], np.float32)},
    ),
    "product over space": (
        [make_node("MatMul", ["matrix", "a"], ["b"], "product")],
        {"matrix": floats(np.random.default_rng(4), SIZE, SIZE)},
    ),
    "one factor": (node("Mul", "factor"), {"factor": -2 * ONE}),
    "depthwise": ([conv("depth", "a", "b", group=4, pads=[1] * 4)], {
        "depth.weight": floats(np.random.default_rng(5), 4, 1, 3, 3),
        "depth.bias": floats(np.random.default_rng(6), 4),
    }),
    "grouped": ([conv("group", "a", "b", group=2)], {
        "group.weight": floats(np.random.default_rng(7), 4, 2, 1, 1),
        "group.bias": floats(np.random.default_rng(8), 4),
    }),
    "grouped transposed": (
        [make_node("ConvTranspose", ["a", "up.weight", "up.bias"], ["b"], "up", group=2)],
        {
            "up.weight": floats(np.random.default_rng(7), 4, 2, 2, 2),
            "up.bias": floats(np.random.default_rng(8), 4),
        },
    ),
    "split": (
        [
            make_node("Split", ["a"], ["left", "right"], "split", axis=1, num_outputs=2),
            make_node("Relu", ["left"], ["left relu"], "relu"),
            make_node("Concat", ["right", "left relu"], ["b"], "concat", axis=1),
        ],
        {},
    ),
    "gate": (
        [
            make_node("Sigmoid", ["x"], ["s"], "sigmoid"),
            make_node("ReduceMax", ["s", "axis"], ["gate"], "gate"),
            make_node("Mul", ["gate", "a"], ["b"], "mul"),
        ],
        {"axis": np.array([1], np.int64)},
    ),
}  # fmt: skip
REFUSED: dict[str, Between] = {
    "product over channels": (
        [
            make_node("Transpose", ["a"], ["t"], "there", perm=[0, 2, 1, 3]),
            make_node("MatMul", ["matrix", "t"], ["m"], "product"),
            make_node("Transpose", ["m"], ["b"], "back", perm=[0, 2, 1, 3]),
        ],
        {"matrix": floats(np.random.default_rng(4), 4, 4)},
    ),
    "cropped and filled": (
        node(
            "Resize",
            "region",
            "scales",
            coordinate_transformation_mode="tf_crop_and_resize",
            extrapolation_value=1.0,
            mode="linear",
        ),
        {
            "region": np.array([0, 0, -1, -1, 1, 1, 2, 2], np.float32),
            "scales": np.array([1, 1, 0.5, 0.5], np.float32),
        },
    ),
    "clip to one half": (node("Clip", "low", "high"), LIMITS),
    "sigmoid": (node("Sigmoid"), {}),
    "hard swish": (node("HardSwish"), {}),
    "softmax": (node("Softmax", axis=1), {}),
    "square": ([make_node("Mul", ["a", "a"], ["b"], "square")], {}),
    "one added": (node("Add", "one"), {"one": ONE}),
    "padding with ones": (
        node("Pad", "pads", "one"),
        {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64), "one": ONE.reshape(())},
    ),
    "mean over channels": (
        [
            make_node("ReduceMean", ["a", "axis"], ["mean"], "mean"),
            make_node("Sub", ["a", "mean"], ["b"], "sub"),
        ],
        {"axis": np.array([1], np.int64)},
    ),
    "reciprocal": ([make_node("Div", ["one", "a"], ["b"], "div")], {"one": ONE}),
    "the image added": ([make_node("Add", ["a", "x sum"], ["b"], "add")], {}),
}


def sandwich(path: Path, between: Between) -> Path:
    nodes, weights = between
    rng = np.random.default_rng(0)
    everything = [
        make_node("ReduceSum", ["x", "channels"], ["x sum"], "x sum"),
        conv("first", "x", "a"),
        *nodes,
        conv("second", "b", "c"),
        make_node("GlobalAveragePool", ["c"], ["p"], "pool"),
        make_node("Flatten", ["p"], ["y"], "flatten"),
    ]
    constants = {
        "channels": np.array([1], np.int64),
        "first.weight": floats(rng, 4, 3, 1, 1),
        "first.bias": floats(rng, 4),
        "second.weight": floats(rng, 2, 4, 1, 1),
        "second.bias": floats(rng, 2),
        **weights,
    }
    return save_network(path, everything, constants, (3, SIZE, SIZE))


def random_images() -> Batch:
    rng = np.random.default_rng(9)
    return Batch({"x": rng.standard_normal((4, 3, SIZE, SIZE)).astype(np.float32)})


@pytest.mark.parametrize("name", PASSING)
def test_homogeneous_operators_pass_scales_on(name: str, tmp_path: Path) -> None:
    graph = clean_graph(sandwich(tmp_path / "m.onnx", PASSING[name]), random_images())
    found = check(graph, random_images())
    layers = sum(one.role == "weight" for one in found.constants)
    assert found.count == 1 + 4 * (layers - 1)


@pytest.mark.parametrize("name", REFUSED)
def test_other_operators_hold_their_channels(name: str, tmp_path: Path) -> None:
    graph = clean_graph(sandwich(tmp_path / "m.onnx", REFUSED[name]), random_images())
    assert check(graph, random_images()).count == 1
    # Had they a scale of their own, the output would be another one.
    layers = {layer.name: layer for layer in find_layers(graph)}
    scales = np.array([1.0, 2, 4, 8, 16])
    rows, columns = np.arange(1, 5).reshape(-1, 1, 1, 1), np.arange(1, 5).reshape(1, -1, 1, 1)
    free = ScaleMap(
        5,
        (
            Scaled(layers["first"].weight, "weight", FIXED, rows),
            Scaled(layers["first"].bias, "shift", FIXED, rows[:, 0, 0, 0]),
            Scaled(layers["second"].weight, "weight", columns, FIXED),
        ),
    )
    model = rescaled(graph, free, scales)
    exact = outputs(graph.model, random_images())
    assert largest_difference(outputs(model, random_images()), exact) > 1e-3


@pytest.mark.parametrize(
    "factor", [COLUMN, COLUMN[:, 0, 0].reshape(1, 4, 1, 1)], ids=["rank 3", "rank 4"]
)
@pytest.mark.parametrize("kind", ["Mul", "Div", "Add", "Sub", "Max"])
def test_constants_of_a_channel_each(kind: str, factor: Any, tmp_path: Path) -> None:
    relu = make_node("Relu", ["a"], ["r"], "relu")
    made = make_node(kind, ["r", "factor"], ["b"], "made")
    path = sandwich(tmp_path / "m.onnx", ([relu, made], {"factor": factor}))
    graph = clean_graph(path, random_images())
    found = check(graph, random_images())
    # A factor lets the channels behind it have scales of their own.
    assert found.count == (9 if kind in ("Mul", "Div") else 5)


def test_a_constant_read_twice_holds_its_channels(tmp_path: Path) -> None:
    nodes = [
        make_node("Relu", ["a"], ["r"], "relu"),
        make_node("Add", ["r", "shift"], ["t"], "add"),
        make_node("LeakyRelu", ["t"], ["l"], "leaky"),
        make_node("Add", ["l", "shift"], ["b"], "again"),
    ]
    path = sandwich(tmp_path / "m.onnx", (nodes, {"shift": COLUMN}))
    assert check(clean_graph(path, random_images()), random_images()).count == 1


# Random networks

Block = Callable[[np.random.Generator, str, str, int, int, Weights], list[onnx.NodeProto]]


def _plain(
    rng: np.random.Generator, source: str, target: str, width: int, number: int, weights: Weights
) -> list[onnx.NodeProto]:
    name = f"conv{number}"
    kind = ["full", "depthwise", "grouped"][rng.integers(3)]
    group = {"full": 1, "depthwise": width, "grouped": 2}[kind]
    weights[f"{name}.weight"] = floats(rng, width, width // group, 3, 3)
    weights[f"{name}.bias"] = floats(rng, width)
    passing = [
        make_node("Relu", [f"{name} out"], [target], f"{name} act"),
        make_node("LeakyRelu", [f"{name} out"], [target], f"{name} act", alpha=0.2),
        make_node("MaxPool", [f"{name} out"], [target], f"{name} act", kernel_shape=[3, 3],
                  pads=[1] * 4),
        make_node("HardSwish", [f"{name} out"], [target], f"{name} act"),
        make_node("Identity", [f"{name} out"], [target], f"{name} act"),
    ]  # fmt: skip
    return [
        conv(name, source, f"{name} out", pads=[1] * 4, group=group),
        passing[rng.integers(len(passing))],
    ]


def _residual(
    rng: np.random.Generator, source: str, target: str, width: int, number: int, weights: Weights
) -> list[onnx.NodeProto]:
    inner, joint = f"inner{number}", f"joint{number}"
    nodes = _plain(rng, source, inner, width, number, weights)
    kind = ["Add", "Max", "Sub", "Mul"][rng.integers(4)]
    return [
        *nodes,
        make_node(kind, [source, inner], [joint], f"join{number}"),
        make_node("Relu", [joint], [target], f"join{number} act"),
    ]


@pytest.mark.parametrize("seed", range(12))
def test_random_networks(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    width = 4
    weights: Weights = {
        "stem.weight": floats(rng, width, 3, 3, 3),
        "stem.bias": floats(rng, width),
    }
    nodes = [conv("stem", "x", "t0", pads=[1] * 4)]
    depth = int(rng.integers(3, 7))
    for number in range(depth):
        block = [_plain, _residual][rng.integers(2)]
        nodes += block(rng, f"t{number}", f"t{number + 1}", width, number, weights)
    merged = int(rng.integers(2))
    if merged:
        nodes.append(make_node("Concat", ["t1", f"t{depth}"], ["all"], "concat", axis=1))
    nodes.append(make_node("Flatten", ["all" if merged else f"t{depth}"], ["flat"], "flatten"))
    nodes.append(make_node("Gemm", ["flat", "head.weight", "head.bias"], ["y"], "head", transB=1))
    weights["head.weight"] = floats(rng, 3, int(width * (1 + merged) * SIZE**2))
    weights["head.bias"] = floats(rng, 3)
    graph = clean_graph(
        save_network(tmp_path / "m.onnx", nodes, weights, (3, SIZE, SIZE)), random_images()
    )
    check(graph, random_images(), seed)
