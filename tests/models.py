"""Tiny ONNX models with deterministic weights, shared by the tests of all rooms."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Weights = Mapping[str, NDArray[Any]]
Shape = Sequence[int | str]
OPSET = 17


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Shape]],
    outputs: Mapping[str, tuple[int, Shape]],
    weights: Weights,
    *,
    opset: int = OPSET,
) -> Path:
    """Check a graph and write it to `path`.

    Args:
        inputs, outputs: name to (`TensorProto` element type, shape with names for free dimensions).
        weights: initializers by name.
    """
    graph = helper.make_graph(
        list(nodes),
        path.stem,
        [helper.make_tensor_value_info(n, t, s) for n, (t, s) in inputs.items()],
        [helper.make_tensor_value_info(n, t, s) for n, (t, s) in outputs.items()],
        [numpy_helper.from_array(np.asarray(w, order="C"), n) for n, w in weights.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    # The oldest IR version that may carry the opset: what an exporter of that time would write.
    version = max(helper.find_min_ir_version_for(opsets), 4)
    model = helper.make_model(graph, opset_imports=opsets, ir_version=version)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def floats(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """Weights drawn as He et al. do for ReLU networks; the first dimension is the output's."""
    fan_in = max(1, int(np.prod(shape[1:])))
    weights: NDArray[np.float64] = rng.standard_normal(shape) * np.sqrt(2 / fan_in)
    return weights.astype(np.float32)


def mlp(
    path: Path,
    *,
    features: int = 8,
    hidden: int = 16,
    classes: int = 4,
    batch: int | str = "batch",
    opset: int = OPSET,
    seed: int = 0,
) -> Path:
    """`x` (batch, features) -> Gemm `fc1` -> Relu -> Gemm `fc2` -> `logits` (batch, classes)."""
    rng = np.random.default_rng(seed)
    nodes = [
        helper.make_node("Gemm", ["x", "fc1.weight", "fc1.bias"], ["h"], "fc1", transB=1),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("Gemm", ["r", "fc2.weight", "fc2.bias"], ["logits"], "fc2", transB=1),
    ]
    weights = {
        "fc1.weight": floats(rng, hidden, features),
        "fc1.bias": floats(rng, hidden),
        "fc2.weight": floats(rng, classes, hidden),
        "fc2.bias": floats(rng, classes),
    }
    return save(
        path,
        nodes,
        {"x": (TensorProto.FLOAT, [batch, features])},
        {"logits": (TensorProto.FLOAT, [batch, classes])},
        weights,
        opset=opset,
    )


def cnn(
    path: Path,
    *,
    channels: int = 8,
    image: int = 12,
    classes: int = 4,
    opset: int = OPSET,
    seed: int = 0,
) -> Path:
    """A residual CNN: `image` (batch, 3, H, W) -> `logits` (batch, classes).

    Layers `stem`, `block.a`, `block.b` (its output is added to that of `stem`), `down` (twice the
    channels, stride 2) and `head` (Gemm).
    """
    rng = np.random.default_rng(seed)
    nodes = [
        _conv("stem", "image", "s"),
        helper.make_node("Relu", ["s"], ["s_relu"], "stem.relu"),
        _conv("block.a", "s_relu", "a"),
        helper.make_node("Relu", ["a"], ["a_relu"], "block.relu"),
        _conv("block.b", "a_relu", "b"),
        helper.make_node("Add", ["s_relu", "b"], ["sum"], "block.add"),
        helper.make_node("Relu", ["sum"], ["sum_relu"], "block.out"),
        _conv("down", "sum_relu", "d", stride=2),
        helper.make_node("Relu", ["d"], ["d_relu"], "down.relu"),
        helper.make_node("GlobalAveragePool", ["d_relu"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node(
            "Gemm", ["flat", "head.weight", "head.bias"], ["logits"], "head", transB=1
        ),
    ]
    weights: dict[str, NDArray[Any]] = {}
    for name, c_out, c_in in (
        ("stem", channels, 3),
        ("block.a", channels, channels),
        ("block.b", channels, channels),
        ("down", 2 * channels, channels),
    ):
        weights[f"{name}.weight"] = floats(rng, c_out, c_in, 3, 3)
        weights[f"{name}.bias"] = 0.1 * floats(rng, c_out)
    weights["head.weight"] = floats(rng, classes, 2 * channels)
    weights["head.bias"] = 0.1 * floats(rng, classes)
    return save(
        path,
        nodes,
        {"image": (TensorProto.FLOAT, ["batch", 3, image, image])},
        {"logits": (TensorProto.FLOAT, ["batch", classes])},
        weights,
        opset=opset,
    )


def two_inputs(path: Path, *, vocabulary: int = 20, width: int = 8, opset: int = OPSET) -> Path:
    """`ids` int64 (batch, length) and `mask` float (batch, length) -> two outputs.

    `tokens` (batch, length, width) and `logits` (batch, 3). Layers: Gather `embed`, MatMul `proj`
    on three dimensions, MatMul `head`.
    """
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Gather", ["embed.weight", "ids"], ["e"], "embed"),
        helper.make_node("MatMul", ["e", "proj.weight"], ["tokens"], "proj"),
        helper.make_node("Relu", ["tokens"], ["t_relu"], "relu"),
        helper.make_node("Unsqueeze", ["mask", "last"], ["mask3"], "mask3")
        if opset >= 13
        else helper.make_node("Unsqueeze", ["mask"], ["mask3"], "mask3", axes=[2]),
        helper.make_node("Mul", ["t_relu", "mask3"], ["masked"], "masked"),
        helper.make_node("ReduceMax", ["masked"], ["pooled"], "pool", axes=[1], keepdims=0)
        if opset < 18
        else helper.make_node("ReduceMax", ["masked", "middle"], ["pooled"], "pool", keepdims=0),
        helper.make_node("MatMul", ["pooled", "head.weight"], ["logits"], "head"),
    ]
    weights: dict[str, NDArray[Any]] = {
        "embed.weight": rng.standard_normal((vocabulary, width)).astype(np.float32),
        "proj.weight": floats(rng, width, width),
        "head.weight": floats(rng, width, 3),
    }
    if opset >= 13:
        weights["last"] = np.array([2], np.int64)
    if opset >= 18:
        weights["middle"] = np.array([1], np.int64)
    return save(
        path,
        nodes,
        {
            "ids": (TensorProto.INT64, ["batch", "length"]),
            "mask": (TensorProto.FLOAT, ["batch", "length"]),
        },
        {
            "tokens": (TensorProto.FLOAT, ["batch", "length", width]),
            "logits": (TensorProto.FLOAT, ["batch", 3]),
        },
        weights,
        opset=opset,
    )


def nan_model(path: Path, *, features: int = 8, classes: int = 4) -> Path:
    """`x` (batch, features) -> `logits`, NaN for the samples whose sum is negative."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("ReduceSum", ["x", "axis"], ["sum"], "sum", keepdims=1),
        helper.make_node("Sqrt", ["sum"], ["root"], "sqrt"),
        helper.make_node("Gemm", ["x", "fc.weight"], ["y"], "fc", transB=1),
        helper.make_node("Add", ["y", "root"], ["logits"], "add"),
    ]
    return save(
        path,
        nodes,
        {"x": (TensorProto.FLOAT, ["batch", features])},
        {"logits": (TensorProto.FLOAT, ["batch", classes])},
        {"axis": np.array([1], np.int64), "fc.weight": floats(rng, classes, features)},
    )


def hoarding(path: Path, *, features: int = 8, elements: int = 1 << 29) -> Path:
    """`x` (batch, features) -> `y` of that shape, by way of so many floats a sample."""
    nodes = [
        helper.make_node("Shape", ["x"], ["batch"], "shape", end=1),
        helper.make_node("Mul", ["batch", "elements"], ["size"], "size"),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"], "hoard"),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], "sum", keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"], "add"),
    ]
    return save(
        path,
        nodes,
        {"x": (TensorProto.FLOAT, ["batch", features])},
        {"y": (TensorProto.FLOAT, ["batch", features])},
        {"elements": np.array([elements], np.int64)},
    )


def endless(path: Path, *, features: int = 8) -> Path:
    """`x` (batch, features) -> `y` of that shape, after 2^62 rounds of a loop."""
    shape: list[int | str] = ["batch", features]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["still"]),
            helper.make_node("Relu", ["state"], ["next"]),
        ],
        "round",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, shape),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, shape),
        ],
    )
    return save(
        path,
        [helper.make_node("Loop", ["rounds", "", "x"], ["y"], "loop", body=body)],
        {"x": (TensorProto.FLOAT, shape)},
        {"y": (TensorProto.FLOAT, shape)},
        {"rounds": np.array(1 << 62, np.int64)},
    )


def perturbed(source: Path, path: Path, *, scale: float = 0.1, seed: int = 1) -> Path:
    """A copy of a model whose floating-point weights carry relative noise: a bad compression."""
    rng = np.random.default_rng(seed)
    model = onnx.load(source)
    for tensor in model.graph.initializer:
        weight = numpy_helper.to_array(tensor)
        if weight.dtype == np.float32:
            noise = 1 + scale * rng.standard_normal(weight.shape)
            tensor.CopyFrom(
                numpy_helper.from_array((weight * noise).astype(np.float32), tensor.name)
            )
    onnx.save(model, path)
    return path


def _conv(name: str, source: str, target: str, *, stride: int = 1) -> onnx.NodeProto:
    return helper.make_node(
        "Conv",
        [source, f"{name}.weight", f"{name}.bias"],
        [target],
        name,
        kernel_shape=[3, 3],
        pads=[1, 1, 1, 1],
        strides=[stride, stride],
    )
