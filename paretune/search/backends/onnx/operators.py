"""Operators by what ONNX Runtime's CPU provider can do with 8-bit tensors."""

from collections.abc import Mapping

import numpy as np
from onnx import NodeProto

from paretune.search.backends.onnx.graph import Array, attributes

LAYERS = frozenset({"Conv", "Gemm", "MatMul"})
"""Layers with an int8 kernel."""

COMPUTING = frozenset(
    {"Add", "Mul", "GlobalAveragePool", "Concat", "LeakyRelu", "Sigmoid", "Softmax"}
)
"""They compute new values, whose range is their own."""

MOVING = frozenset(
    {"MaxPool", "AveragePool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice"}
    | {"Resize"}
)
"""They pass their input's values on, whose range stays."""


def may_run_in_int8(node: NodeProto) -> bool:
    """Whether calibration has to look at what the node reads and writes."""
    return not node.domain and node.op_type in LAYERS | COMPUTING | MOVING | {"Relu", "Clip"}


def is_rectifier(node: NodeProto, constants: Mapping[str, Array]) -> bool:
    """`Relu`, or a `Clip` from 0."""
    if node.op_type == "Relu":
        return True
    if node.op_type != "Clip" or len(node.input) < 2 or node.input[1] not in constants:
        return False
    return bool(np.all(constants[node.input[1]] == 0))


def has_integer_kernel(node: NodeProto) -> bool:
    """Whether the node, between integers, is computed without floats but for scales."""
    if node.domain or node.op_type not in LAYERS | COMPUTING | MOVING:
        return False
    if node.op_type == "Resize":
        return bool(attributes(node).get("mode", b"nearest") == b"nearest")
    # There is an operator for it, but it sums and divides floats.
    return node.op_type != "Softmax"
