"""Probe models: a few equal layers in a row, so that what happens at the borders weighs little."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from paretune.evaluators import Batch

_LAYERS = 3
_OPSET = 17
_SEED = 0
_SAMPLES = 8
_VOCABULARY = 8192
_ENTRY = 8


@dataclass(frozen=True)
class Probe:
    """A model of layers of one kind and shape.

    Attributes:
        name: such as `Conv 3x3 64 channels 16x16`.
        op_type: of its layers.
        input_shape: with the batch first.
        write: builds the ONNX file at a path.
    """

    name: str
    op_type: str
    input_shape: tuple[int, ...]
    write: Callable[[Path], None]

    def batches(self) -> list[Batch]:
        """Inputs to calibrate on and to time: random, always the same."""
        rng = np.random.default_rng(_SEED)
        shape = (_SAMPLES, *self.input_shape[1:])
        if self.op_type == "Gather":
            return [Batch({"x": rng.integers(0, _VOCABULARY, shape)})]
        return [Batch({"x": rng.standard_normal(shape, dtype=np.float32)})]


def probes() -> list[Probe]:
    """One or more for every operator that can be compressed, in shapes that networks have."""
    return [
        *(convolution(3, c, size) for c, size in ((16, 32), (64, 16), (128, 8))),
        *(convolution(1, c, size) for c, size in ((64, 16), (256, 8))),
        *(convolution(3, c, size, depthwise=True) for c, size in ((64, 16), (256, 8))),
        _transposed(32, 8),
        *(_dense("Gemm", (1, width), width) for width in (256, 1024)),
        *(_dense("MatMul", (1, 64, width), width) for width in (256, 768)),
        _embedding(128),
    ]


def convolution(kernel: int, channels: int, size: int, *, depthwise: bool = False) -> Probe:
    """Convolutions that keep the shape of square images.

    Args:
        kernel: height and width.
        channels: in and out.
        size: height and width of the images.
    """
    groups = channels if depthwise else 1
    weight = (channels, channels // groups, kernel, kernel)
    return _chain(
        f"{'depthwise ' if depthwise else ''}Conv {kernel}x{kernel} {channels} channels"
        f" {size}x{size}",
        "Conv",
        (1, channels, size, size),
        [weight] * _LAYERS,
        {"pads": [kernel // 2] * 4, "group": groups},
    )


def narrowed(channels: int) -> Probe:
    """Convolutions with `channels` in between, for an input that does not depend on them."""
    weights = [(channels, _ENTRY, 3, 3), *[(channels, channels, 3, 3)] * _LAYERS]
    return _chain(
        f"Conv 3x3 {channels} channels 16x16",
        "Conv",
        (1, _ENTRY, 16, 16),
        weights,
        {"pads": [1] * 4},
    )


def _transposed(channels: int, size: int) -> Probe:
    return _chain(
        f"ConvTranspose 2x2 {channels} channels {size}x{size}",
        "ConvTranspose",
        (1, channels, size, size),
        [(channels, channels, 2, 2)] * _LAYERS,
        {"strides": [2, 2]},
    )


def _dense(op_type: str, shape: tuple[int, ...], width: int) -> Probe:
    text = "x".join(map(str, shape))
    return _chain(
        f"{op_type} {text} by {width}x{width}", op_type, shape, [(width, width)] * _LAYERS, {}
    )


def _chain(
    name: str,
    op_type: str,
    shape: tuple[int, ...],
    weights: Sequence[tuple[int, ...]],
    attributes: dict[str, int | list[int]],
) -> Probe:
    def write(path: Path) -> None:
        rng = np.random.default_rng(_SEED)
        nodes, constants, last = [], {}, "x"
        for i, weight in enumerate(weights):
            # He et al.'s scale, so that activations neither vanish nor blow up.
            fan_in = int(np.prod(weight[1:])) if op_type == "Conv" else weight[0]
            values = rng.standard_normal(weight) * np.sqrt(2 / fan_in)
            constants[f"w{i}"] = values.astype(np.float32)
            node = helper.make_node(op_type, [last, f"w{i}"], [f"y{i}"], f"layer{i}")
            node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
            nodes.append(node)
            nodes.append(helper.make_node("Relu", [f"y{i}"], [f"r{i}"], f"relu{i}"))
            last = f"r{i}"
        _save(path, nodes, constants, TensorProto.FLOAT, shape, last, len(shape))

    return Probe(name, op_type, shape, write)


def _embedding(width: int) -> Probe:
    shape = (1, 64)
    return Probe(
        f"Gather 64 of {_VOCABULARY}x{width}",
        "Gather",
        shape,
        partial(_write_embedding, width=width, shape=shape),
    )


def _write_embedding(path: Path, width: int, shape: tuple[int, ...]) -> None:
    table = np.random.default_rng(_SEED).standard_normal((_VOCABULARY, width), dtype=np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["rows"], "layer0"),
        helper.make_node("Relu", ["rows"], ["relu"], "relu0"),
    ]
    _save(path, nodes, {"table": table}, TensorProto.INT64, shape, "relu", len(shape) + 1)


def _save(
    path: Path,
    nodes: Sequence[NodeProto],
    constants: dict[str, NDArray[np.float32]],
    dtype: int,
    shape: tuple[int, ...],
    output: str,
    rank: int,
) -> None:
    graph = helper.make_graph(
        list(nodes),
        "probe",
        [helper.make_tensor_value_info("x", dtype, ("batch", *shape[1:]))],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None] * rank)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    onnx.save(model, path)
