"""Integer only: the proof, and that ONNX Runtime indeed computes with integers only."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from onnx.helper import make_node

from paretune.errors import Infeasible, UserError
from paretune.evaluators import Batch
from paretune.search.backends.onnx import OnnxBackend, OnnxPrepared
from paretune.search.backends.onnx.integer_only import float_operators
from paretune.spaces import Channel, Choice, Dense, Policy, Precision, build_space
from tests.models import floats, mlp
from tests.search.backends.onnx.running import largest_difference, outputs
from tests.search.backends.onnx.zoo import ZOO, conv, data_of, image_model, images

INT8 = Choice(Precision.INT8)


def _prepare(path: Path, batch: Batch | None = None, **options: Any) -> OnnxPrepared:
    options = {"integer_only": True, "solver": "naive", **options}
    return OnnxBackend().prepare(path, [batch or images()], path.parent / "cache", options)


def _all(prepared: OnnxPrepared, choice: Choice = INT8) -> Policy:
    return Policy.of({layer.name: choice for layer in prepared.layers})


def _computed_floats(path: Path) -> set[str]:
    """Tensors in the graph that ONNX Runtime made of a model which are floats, but its outputs."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(path.with_suffix(".optimized.onnx"))
    options.log_severity_level = 3
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    model = onnx.load(options.optimized_model_filepath)
    outputs = {value.name for value in model.graph.output}
    for name in {name for node in model.graph.node for name in node.output} - outputs:
        model.graph.output.append(helper.make_empty_tensor_value_info(name))
    plain = ort.SessionOptions()
    plain.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), plain, providers=["CPUExecutionProvider"]
    )
    return {x.name for x in session.get_outputs() if x.type == "tensor(float)"} - outputs


def many_operators(path: Path) -> Path:
    """Every operator between layers that has an integer kernel."""
    rng = np.random.default_rng(0)
    nodes = [
        conv("stem", "image", "s", pads=[1] * 4),
        make_node("LeakyRelu", ["s"], ["l"], "leaky"),
        make_node("MaxPool", ["l"], ["m"], "max", kernel_shape=[2, 2], strides=[2, 2]),
        make_node("AveragePool", ["l"], ["a"], "average", kernel_shape=[2, 2], strides=[2, 2]),
        make_node("Concat", ["m", "a"], ["c"], "concat", axis=1),
        conv("gate", "c", "g"),
        make_node("Sigmoid", ["g"], ["y"], "sigmoid"),
        make_node("Mul", ["c", "y"], ["z"], "gated"),
        make_node("Mul", ["z", "scale"], ["zs"], "scaled"),
        make_node("Add", ["zs", "shift"], ["t"], "shifted"),
        make_node("Relu", ["t"], ["r"], "relu"),
        conv("next", "r", "n"),
        make_node("GlobalAveragePool", ["n"], ["p"], "pool"),
        make_node("Flatten", ["p"], ["f"], "flatten"),
        make_node("MatMul", ["f", "head.weight"], ["h"], "head"),
        make_node("Add", ["h", "head.bias"], ["logits"], "head.add"),
    ]
    weights = {
        "stem.weight": floats(rng, 8, 3, 3, 3),
        "stem.bias": floats(rng, 8),
        "gate.weight": floats(rng, 16, 16, 1, 1),
        "gate.bias": floats(rng, 16),
        "scale": rng.uniform(0.5, 1.5, (16, 1, 1)).astype(np.float32),
        "shift": floats(rng, 16, 1, 1),
        "next.weight": floats(rng, 8, 16, 1, 1),
        "next.bias": floats(rng, 8),
        "head.weight": floats(rng, 8, 4),
        "head.bias": floats(rng, 4),
    }
    return image_model(path, nodes, weights)


@pytest.mark.parametrize("make", [ZOO["cnn"], many_operators, ZOO["grouped"], ZOO["switched_off"]])
def test_no_floats_between_the_ends(make: Any, tmp_path: Path) -> None:
    path = make(tmp_path / "model.onnx")
    prepared = _prepare(path)
    artifact = prepared.apply(_all(prepared), tmp_path / "candidate.onnx")
    assert artifact.policy == _all(prepared)
    assert float_operators(onnx.load(artifact.path)) == []
    assert _computed_floats(artifact.path) == set()
    found, exact = outputs(artifact.path, images()), outputs(path, images())
    assert largest_difference(found, exact) < 0.1
    # The uncompressed model computes with floats, of course.
    assert largest_difference(outputs(prepared.reference.path, images()), exact) < 1e-5
    assert float_operators(onnx.load(prepared.reference.path))


def test_without_the_option_the_ends_are_floats(tmp_path: Path) -> None:
    """So that the test above cannot pass by looking at nothing."""
    path = ZOO["cnn"](tmp_path / "model.onnx")
    prepared = _prepare(path, integer_only=False)
    artifact = prepared.apply(_all(prepared), tmp_path / "candidate.onnx")
    assert float_operators(onnx.load(artifact.path)) == ["head (Gemm)"]
    assert _computed_floats(prepared.reference.path)


def test_bytes_in(tmp_path: Path) -> None:
    path = ZOO["cnn"](tmp_path / "model.onnx")
    rng = np.random.default_rng(0)
    batch = Batch({"image": rng.integers(0, 256, (8, 3, 12, 12), dtype=np.uint8)})
    how = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    prepared = _prepare(path, batch, uint8_inputs={"image": how})
    artifact = prepared.apply(_all(prepared), tmp_path / "candidate.onnx")
    assert _computed_floats(artifact.path) == set()
    graph = onnx.load(artifact.path).graph
    assert graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    rounded = [node.input[0] for node in graph.node if node.op_type == "QuantizeLinear"]
    assert "image" not in rounded


@pytest.mark.parametrize("amount", [0.25, 0.5])
def test_removed_channels(amount: float, tmp_path: Path) -> None:
    path = many_operators(tmp_path / "model.onnx")
    prepared = _prepare(path)
    groups = {name for group in prepared.groups for name in group.layers}
    assert groups
    choices = {
        layer.name: Choice(Precision.INT8, Channel(amount) if layer.name in groups else Dense())
        for layer in prepared.layers
    }
    artifact = prepared.apply(Policy.of(choices), tmp_path / "candidate.onnx")
    assert _computed_floats(artifact.path) == set()


def test_only_int8_is_offered(tmp_path: Path) -> None:
    prepared = _prepare(ZOO["cnn"](tmp_path / "model.onnx"))
    space = build_space(
        prepared.layers,
        prepared.groups,
        prepared.capabilities,
        list(Precision.USUAL),
        [Channel(0.5)],
    )
    assert set(space.precisions.values()) == {(Precision.INT8,)}
    assert space.uniform(Precision.FP32) == _all(prepared)
    with pytest.raises(UserError, match=r"stem \(Conv\) can take none of fp32, fp16"):
        build_space(
            prepared.layers, prepared.groups, prepared.capabilities, [Precision.FP16], [Dense()]
        )


def test_a_float_layer_is_infeasible(tmp_path: Path) -> None:
    prepared = _prepare(ZOO["cnn"](tmp_path / "model.onnx"))
    choices = dict(_all(prepared).items) | {"block.a": Choice()}
    path = tmp_path / "candidate.onnx"
    with pytest.raises(Infeasible, match=r"compute with floats: block.a \(Conv\), block.relu"):
        prepared.apply(Policy.of(choices), path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("mobile", {}, ["gate (HardSigmoid)"]),
        ("dense", {}, ["up (ConvTranspose)"]),
        ("text", {}, ["embed (Gather)", "pool (ReduceMax)"]),
        ("cnn", {"activation_symmetric": True}, ["stem.relu (Relu)", "block.out (Relu)"]),
    ],
)
def test_what_cannot_be_integer_is_named_at_once(
    name: str, options: dict[str, Any], named: list[str], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="backend.integer_only: these operators") as error:
        _prepare(ZOO[name](tmp_path / "model.onnx"), data_of(name), **options)
    for text in named:
        assert text in str(error.value)
    # It would be integer between integers.
    assert "GlobalAveragePool" not in str(error.value)


def test_signed_activations(tmp_path: Path) -> None:
    """ONNX Runtime computes them as unsigned ones; without a rectifier nothing is in the way."""
    nodes = [
        conv("a", "image", "s", pads=[1] * 4),
        make_node("MaxPool", ["s"], ["m"], "max", kernel_shape=[2, 2]),
        conv("b", "m", "t"),
        make_node("GlobalAveragePool", ["t"], ["p"], "pool"),
        make_node("Flatten", ["p"], ["logits"], "flatten"),
    ]
    rng = np.random.default_rng(0)
    weights = {
        "a.weight": floats(rng, 8, 3, 3, 3),
        "a.bias": floats(rng, 8),
        "b.weight": floats(rng, 4, 8, 1, 1),
        "b.bias": floats(rng, 4),
    }
    path = image_model(tmp_path / "model.onnx", nodes, weights)
    prepared = _prepare(path, activation_symmetric=True)
    artifact = prepared.apply(_all(prepared), tmp_path / "candidate.onnx")
    assert _computed_floats(artifact.path) == set()
    assert largest_difference(outputs(artifact.path, images()), outputs(path, images())) < 0.1


def _line(*kinds: onnx.NodeProto) -> list[str]:
    """What is wrong with quantized `x`, then `kinds`, then a quantized output."""
    nodes = [
        make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], "in"),
        make_node("DequantizeLinear", ["q", "scale", "zero"], ["f0"], "in.back"),
        *kinds,
        make_node("QuantizeLinear", ["last", "scale", "zero"], ["r"], "out"),
        make_node("DequantizeLinear", ["r", "scale", "zero"], ["y"], "out.back"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            onnx.numpy_helper.from_array(np.array(0.1, np.float32), "scale"),
            onnx.numpy_helper.from_array(np.array(3, np.uint8), "zero"),
            onnx.numpy_helper.from_array(np.ones((8, 8), np.float32), "weight"),
            onnx.numpy_helper.from_array(np.array([-1, 4], np.int64), "shape"),
        ],
    )
    opsets = [helper.make_opsetid("", 21)]
    return float_operators(helper.make_model(graph, opset_imports=opsets, ir_version=10))


def test_the_proof_by_hand() -> None:
    def round_trip(source: str, target: str) -> list[onnx.NodeProto]:
        return [
            make_node("QuantizeLinear", [source, "scale", "zero"], [f"{target}q"], f"q.{target}"),
            make_node("DequantizeLinear", [f"{target}q", "scale", "zero"], [target], f"d.{target}"),
        ]

    reshape = make_node("Reshape", ["f0", "shape"], ["last"], "moved")
    assert _line(reshape) == []
    softmax = make_node("Softmax", ["f0"], ["last"], "soft")
    assert _line(softmax) == ["soft (Softmax)"]
    erf = make_node("Erf", ["f0"], ["last"], "erf")
    assert _line(erf) == ["erf (Erf)"]
    # Float weights, integers around.
    matmul = make_node("MatMul", ["f0", "weight"], ["last"], "fc")
    assert _line(matmul) == ["fc (MatMul)"]
    # Two in a row without rounding between them: the tensor between is a float.
    add = make_node("Add", ["f0", "f0"], ["f1"], "add")
    mul = make_node("Mul", ["f1", "f0"], ["last"], "mul")
    assert _line(add, mul) == ["add (Add)", "mul (Mul)"]
    rounded = make_node("Mul", ["f2", "f0"], ["last"], "mul")
    assert _line(add, *round_trip("f1", "f2"), rounded) == []
    # Somebody else reads what was rounded, before it was rounded.
    both = make_node("Mul", ["f2", "f1"], ["last"], "both")
    assert _line(add, *round_trip("f1", "f2"), both) == ["add (Add)", "both (Mul)"]
    # Rounding again.
    assert _line(*round_trip("f0", "last"))[0] == "q.last (QuantizeLinear)"
    # Shapes are integers anyway.
    shapes = [
        make_node("Shape", ["f0"], ["n"], "shape"),
        make_node("Reshape", ["f0", "n"], ["last"], "moved"),
    ]
    assert _line(*shapes) == []


def test_a_perceptron(tmp_path: Path) -> None:
    path = mlp(tmp_path / "model.onnx")
    batch = Batch({"x": np.random.default_rng(0).standard_normal((32, 8)).astype(np.float32)})
    prepared = _prepare(path, batch)
    artifact = prepared.apply(_all(prepared), tmp_path / "candidate.onnx")
    assert _computed_floats(artifact.path) == set()
    assert largest_difference(outputs(artifact.path, batch), outputs(path, batch)) < 0.06
