"""Forms of one and the same operator, and of the data, that are legal but not usual."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.helper import make_node, make_opsetid, make_tensor_value_info

from paretune.errors import UserError
from paretune.evaluators import Batch
from paretune.search.backends.onnx import OnnxBackend, OnnxPrepared
from paretune.spaces import Choice, Policy, Precision
from tests.models import cnn, floats, save
from tests.search.backends.onnx.running import largest_difference, outputs
from tests.search.backends.onnx.zoo import conv, image_model, images

RNG = np.random.default_rng(0)


def _prepare(path: Path, batch: Batch) -> OnnxPrepared:
    return OnnxBackend().prepare(path, [batch], path.parent / "cache", {})


@pytest.mark.parametrize(
    ("bias", "is_layer"),
    [
        (np.float32(0.5), True),
        (floats(RNG, 1), True),
        (floats(RNG, 1, 8), True),
        (floats(RNG, 8, 1), False),
        (floats(RNG, 8, 8), False),
    ],
)
def test_gemm_biases(bias: NDArray[Any], is_layer: bool, tmp_path: Path) -> None:
    """What is added to the columns can be a layer's bias; what is added to the rows cannot."""
    path = save(
        tmp_path / "model.onnx",
        [
            make_node("Gemm", ["x", "first", "bias"], ["h"], "first"),
            make_node("Gemm", ["h", "second"], ["y"], "second"),
        ],
        {"x": (TensorProto.FLOAT, [8, 6])},
        {"y": (TensorProto.FLOAT, [8, 4])},
        {"first": floats(RNG, 6, 8), "second": floats(RNG, 8, 4), "bias": np.array(bias)},
    )
    batch = Batch({"x": RNG.standard_normal((8, 6)).astype(np.float32)})
    prepared = _prepare(path, batch)
    assert [x.name for x in prepared.layers] == (["first"] if is_layer else []) + ["second"]
    policy = Policy.of({layer.name: Choice(Precision.INT8) for layer in prepared.layers})
    artifact = prepared.apply(policy, tmp_path / "candidate.onnx")
    assert largest_difference(outputs(artifact.path, batch), outputs(path, batch)) < 0.06


@pytest.mark.parametrize("opset", [18, 21])
def test_functions_are_opened(opset: int, tmp_path: Path) -> None:
    body = [make_node("Conv", ["x", "w"], ["c"]), make_node("Relu", ["c"], ["y"])]
    block = helper.make_function("own", "Block", ["x", "w"], ["y"], body, [make_opsetid("", opset)])
    model = onnx.load(cnn(tmp_path / "model.onnx", opset=opset))
    stem = model.graph.node[0]
    model.graph.node[0].CopyFrom(
        make_node("Block", [stem.input[0], "kernel"], stem.output, "stem", domain="own")
    )
    kernel = onnx.numpy_helper.from_array(floats(RNG, 8, 3, 1, 1), "kernel")
    model.graph.initializer.append(kernel)
    model.functions.append(block)
    model.opset_import.append(make_opsetid("own", 1))
    model.ir_version = 10
    onnx.save(model, tmp_path / "functions.onnx")
    prepared = _prepare(tmp_path / "functions.onnx", images())
    assert sorted(x.op_type for x in prepared.layers) == ["Conv"] * 4 + ["Gemm"]
    found = outputs(prepared.reference.path, images())
    assert largest_difference(found, outputs(tmp_path / "functions.onnx", images())) < 1e-5


def test_blank_trailing_outputs(tmp_path: Path) -> None:
    """ONNX Runtime fails on an int8 MaxPool whose second output is an empty name."""
    nodes = [
        make_node("Conv", ["image", "a.weight", ""], ["s"], "a"),
        make_node("MaxPool", ["s"], ["m", ""], "pool", kernel_shape=[2, 2]),
        conv("b", "m", "t"),
        make_node("GlobalAveragePool", ["t"], ["p"], "mean"),
        make_node("Flatten", ["p"], ["logits"], "flatten"),
    ]
    weights = {
        "a.weight": floats(RNG, 8, 3, 1, 1),
        "b.weight": floats(RNG, 4, 8, 1, 1),
        "b.bias": floats(RNG, 4),
    }
    path = image_model(tmp_path / "model.onnx", nodes, weights)
    prepared = _prepare(path, images())
    assert [group.layers for group in prepared.groups] == [("a",)]
    policy = Policy.of({layer.name: Choice(Precision.INT8) for layer in prepared.layers})
    artifact = prepared.apply(policy, tmp_path / "candidate.onnx")
    assert largest_difference(outputs(artifact.path, images()), outputs(path, images())) < 0.06


def test_an_operator_set_that_only_a_subgraph_uses(tmp_path: Path) -> None:
    def branch(node: onnx.NodeProto) -> onnx.GraphProto:
        value = make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
        return helper.make_graph([node], "branch", [], [value])

    yes = branch(make_node("Gelu", ["a"], ["yes"], "yes", domain="com.microsoft"))
    no = branch(make_node("Identity", ["a"], ["no"], "no"))
    nodes = [
        conv("a", "image", "a"),
        make_node("ReduceMax", ["image"], ["most"], "most", keepdims=0),
        make_node("Greater", ["most", "two"], ["many"], "many"),
        make_node("If", ["many"], ["b"], "if", then_branch=yes, else_branch=no),
        make_node("GlobalAveragePool", ["b"], ["p"], "mean"),
        make_node("Flatten", ["p"], ["logits"], "flatten"),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "model",
            [make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 12, 12])],
            [make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 8])],
            [
                onnx.numpy_helper.from_array(floats(RNG, 8, 3, 1, 1), "a.weight"),
                onnx.numpy_helper.from_array(floats(RNG, 8), "a.bias"),
                onnx.numpy_helper.from_array(np.array(2, np.float32), "two"),
            ],
        ),
        opset_imports=[make_opsetid("", 21), make_opsetid("com.microsoft", 1)],
        ir_version=10,
    )
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    for _ in range(2):
        prepared = _prepare(path, images())
        policy = Policy.of({"a": Choice(Precision.INT8)})
        artifact = prepared.apply(policy, tmp_path / "candidate.onnx")
        assert largest_difference(outputs(artifact.path, images()), outputs(path, images())) < 0.06


def test_a_mean_in_double_precision_is_left_alone(tmp_path: Path) -> None:
    """ONNX Runtime pools float32 only."""
    nodes = [
        conv("a", "image", "s"),
        make_node("Cast", ["s"], ["wide"], "widen", to=TensorProto.DOUBLE),
        make_node("ReduceMean", ["wide", "space"], ["m"], "mean", keepdims=0),
        make_node("Cast", ["m"], ["logits"], "narrow", to=TensorProto.FLOAT),
    ]
    weights = {
        "a.weight": floats(RNG, 8, 3, 1, 1),
        "a.bias": floats(RNG, 8),
        "space": np.array([2, 3]),
    }
    path = image_model(tmp_path / "model.onnx", nodes, weights)
    found = outputs(_prepare(path, images()).reference.path, images())
    assert largest_difference(found, outputs(path, images())) < 1e-5


def test_no_float32_at_all_is_no_lack_of_samples(tmp_path: Path) -> None:
    path = save(
        tmp_path / "model.onnx",
        [make_node("MatMul", ["x", "w"], ["y"], "fc")],
        {"x": (TensorProto.DOUBLE, ["batch", 8])},
        {"y": (TensorProto.DOUBLE, ["batch", 4])},
        {"w": floats(RNG, 8, 4).astype(np.float64)},
    )
    assert _prepare(path, Batch({"x": RNG.standard_normal((8, 8))})).layers == ()


def test_unusable_calibration_data(tmp_path: Path) -> None:
    path = cnn(tmp_path / "model.onnx")
    cache = tmp_path / "cache"
    with pytest.raises(UserError, match="the calibration split holds no samples"):
        OnnxBackend().prepare(path, [], cache, {})
    with pytest.raises(UserError, match="a batch without samples"):
        OnnxBackend().prepare(path, [images(0)], cache, {})
    with pytest.raises(UserError, match="cannot run the model: .*image.*Got: 4 Expected: 3"):
        OnnxBackend().prepare(path, [images(), images(channels=4)], cache, {})


def test_an_opset_that_cannot_be_converted(tmp_path: Path) -> None:
    """Sparse initializers are legal, but the converter of opsets does not know them."""
    model = onnx.load(cnn(tmp_path / "model.onnx"))
    values = helper.make_tensor("stem.weight", TensorProto.FLOAT, [1], [1.0])
    places = helper.make_tensor("places", TensorProto.INT64, [1], [5])
    dense = next(t for t in model.graph.initializer if t.name == "stem.weight")
    model.graph.initializer.remove(dense)
    sparse = helper.make_sparse_tensor(values, places, [8, 3, 3, 3])
    model.graph.sparse_initializer.append(sparse)
    onnx.save(model, tmp_path / "sparse.onnx")
    with pytest.raises(UserError, match="opset 17 and cannot be converted to 21: .*stem.weight"):
        _prepare(tmp_path / "sparse.onnx", images())
