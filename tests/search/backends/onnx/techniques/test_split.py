"""A layer in two parts: what it computes, and how much work that is, in ONNX Runtime."""

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from paretune.evaluators import Batch
from paretune.search.backends.onnx.graph import Constants, Graph
from paretune.search.backends.onnx.layers import find_layers
from paretune.search.backends.onnx.matrices import to_matrix, to_weight
from paretune.search.backends.onnx.solvers.lowrank import factor_plainly
from paretune.search.backends.onnx.solvers.problem import Problem
from paretune.search.backends.onnx.solvers.spatial import Kernel, folded
from paretune.search.backends.onnx.techniques.split import Split, splits
from tests.search.backends.onnx.running import outputs

CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "same": {"pads": [1, 1, 1, 1]},
    "strided": {"pads": [1, 1, 1, 1], "strides": [2, 2]},
    "uneven": {"pads": [0, 2, 1, 0], "strides": [1, 2], "dilations": [2, 1]},
    "automatic": {"auto_pad": "SAME_UPPER", "strides": [2, 3]},
    "lower": {"auto_pad": "SAME_LOWER"},
    "valid": {"auto_pad": "VALID", "kernel_shape": [3, 3]},
}


def model(kind: str, data: tuple[int, ...], weight: tuple[int, ...], **values: Any) -> Graph:
    rng = np.random.default_rng(0)
    outputs_ = weight[0 if kind == "Conv" else 1]
    arrays = {"w": rng.standard_normal(weight), "b": rng.standard_normal(outputs_)}
    inputs = ["x", "w"] if kind == "MatMul" else ["x", "w", "b"]
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, ["y"], "layer", **values)],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, data)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(a.astype(np.float32), n) for n, a in arrays.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return Graph(made, Constants(made.graph), {}, 1)


def in_two(graph: Graph, split: Split, rank: int) -> onnx.ModelProto:
    """The model with the two parts in the layer's place, their weights the nearest of the rank.

    It also returns what is between them, as `middle`.
    """
    factors = factor_plainly(folded(problem_of(graph, split), split.kernel), rank)
    made = onnx.ModelProto()
    made.CopyFrom(graph.model)
    del made.graph.node[:]
    parts = split.parts(rank)
    for part, matrix in zip(parts, (factors.right, factors.left), strict=True):
        made.graph.node.append(part.node)
        stored = to_weight(part, matrix, part.layer.weight_shape).astype(np.float32)
        made.graph.initializer.append(numpy_helper.from_array(stored, part.weight))
    made.graph.node.append(helper.make_node("Identity", [parts[1].data], ["middle"]))
    made.graph.output.append(helper.make_tensor_value_info("middle", TensorProto.FLOAT, None))
    return made


def problem_of(graph: Graph, split: Split) -> Problem:
    weights = to_matrix(split.layer, graph.constants["w"])
    return Problem(weights, np.eye(weights.shape[2])[None])


def data_for(graph: Graph) -> Batch:
    dims = graph.model.graph.input[0].type.tensor_type.shape.dim
    shape = [d.dim_value for d in dims]
    return Batch({"x": np.random.default_rng(1).standard_normal(shape).astype(np.float32)})


def forms(graph: Graph) -> list[Split]:
    (layer,) = find_layers(graph)
    return splits(layer, layer.layer.weight_shape)


def check_equal(graph: Graph, split: Split) -> None:
    """At full rank the parts compute what the whole does."""
    rank = min(folded(problem_of(graph, split), split.kernel).weights.shape[1:])
    found = outputs(in_two(graph, split, rank), data_for(graph))["y"]
    exact = outputs(graph.model, data_for(graph))["y"]
    assert found.shape == exact.shape
    np.testing.assert_allclose(found, exact, atol=2e-4)


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_a_convolution_in_either_form(case: str) -> None:
    graph = model("Conv", (2, 3, 11, 13), (4, 3, 3, 3), **CONVOLUTIONS[case])
    channel, spatial = forms(graph)
    assert (channel.kernel, spatial.kernel) == (Kernel(9, 1), Kernel(3, 3))
    check_equal(graph, channel)
    check_equal(graph, spatial)


@pytest.mark.parametrize(
    ("kind", "data", "weight"),
    [
        ("Gemm", (5, 6), (6, 4)),
        ("MatMul", (2, 5, 6), (6, 4)),
        ("Conv", (2, 6, 7, 7), (4, 6, 1, 1)),
        ("Conv", (2, 6, 7, 7), (4, 6, 1, 3)),
        ("Conv", (2, 6, 9), (4, 6, 3)),
        ("Conv", (2, 2, 5, 5, 5), (4, 2, 2, 3, 2)),
    ],
)
def test_layers_that_have_one_form(
    kind: str, data: tuple[int, ...], weight: tuple[int, ...]
) -> None:
    graph = model(kind, data, weight)
    (split,) = forms(graph)
    check_equal(graph, split)


@pytest.mark.parametrize("strides", [[1, 1], [2, 2], [1, 2]])
def test_the_cost_is_counted(strides: list[int]) -> None:
    """Against the shapes that ONNX Runtime computes, where strides divide the image."""
    graph = model("Conv", (1, 4, 12, 12), (6, 4, 3, 3), pads=[1, 1, 1, 1], strides=strides)
    whole = outputs(graph.model, data_for(graph))["y"].size * 4 * 9
    for split in forms(graph):
        for rank in (1, 3):
            inner, outer = split.parts(rank)
            found = outputs(in_two(graph, split, rank), data_for(graph))
            work = found["middle"].size * np.prod(inner.layer.weight_shape[1:])
            work += found["y"].size * np.prod(outer.layer.weight_shape[1:])
            assert work / whole == pytest.approx(rank * split.cost)


@given(st.integers(1, 600), st.integers(1, 600), st.floats(0.01, 0.99))
def test_every_rank_saves_work(inputs: int, outputs_: int, amount: float) -> None:
    (split,) = forms(graph_of(inputs, outputs_))
    rank, saving = split.rank(amount), inputs * outputs_ / (inputs + outputs_)
    if saving <= 1:
        assert rank == 0
        return
    assert 1 <= rank < saving
    wanted = (1 - amount) * saving
    assert abs(rank - wanted) < (8 if wanted >= 32 else 4)
    if rank >= 32:
        assert rank % 8 == 0
    assert split.rank(min(0.99, amount + 0.1)) <= rank


def graph_of(inputs: int, outputs_: int) -> Graph:
    return model("MatMul", (1, inputs), (inputs, outputs_))


def test_ranks() -> None:
    (square,) = forms(graph_of(384, 384))
    assert [square.rank(amount) for amount in (0.01, 0.25, 0.5, 0.75, 0.99)] == [
        184,
        144,
        96,
        48,
        2,
    ]
    (small,) = forms(graph_of(10, 64))
    assert [small.rank(amount) for amount in (0.1, 0.5, 0.9)] == [8, 4, 1]
    (least,) = forms(graph_of(2, 2))
    assert least.rank(0.5) == 0


def test_names() -> None:
    graph = model("Gemm", (5, 6), (6, 4))
    (split,) = forms(graph)
    inner, outer = split.parts(2)
    assert (inner.name, outer.name) == ("layer/inner", "layer")
    assert (inner.stem, outer.stem) == ("layer/inner/", "layer/outer/")
    assert list(inner.node.input) == ["x", "layer/inner/weight"]
    assert list(outer.node.input) == ["layer/inner", "layer/outer/weight", "b"]
    assert list(outer.node.output) == ["y"]
