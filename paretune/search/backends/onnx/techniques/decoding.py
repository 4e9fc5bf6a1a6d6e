"""Weights that are decoded once, when the model is loaded.

ONNX Runtime computes what depends on constants alone when it loads a model. It does not do so with
`DequantizeLinear`, which it computes at every run: measured, a ResNet-8 twice as slow.
"""

import numpy as np
from onnx import TensorProto

from paretune.search.backends.onnx.graph import Array
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.matrices import to_weight
from paretune.search.backends.onnx.techniques.technique import Place, Source, tensor


def block_size(columns: int) -> int:
    """The largest divisor from 16 to 64, so that blocks are whole; all columns without one."""
    return next((b for b in range(64, 15, -1) if columns % b == 0), columns)


def blocks_of(layer: WeightedNode, columns: int, block: int) -> Array:
    """The block of each column of the layer's matrix: neighbours in the order they are stored."""
    order = np.arange(columns)
    if layer.layer.op_type == "Conv":
        # Stored are the kernel positions of one input after the other.
        positions = int(np.prod(layer.layer.weight_shape[2:]))
        inputs = columns // positions
        order = (order % inputs) * positions + order // inputs
    found: Array = order // block
    return found


def arranged(
    layer: WeightedNode, codes: Array, scale: Array, shape: tuple[int, ...]
) -> tuple[Array, Array]:
    """Codes in the order of the weight, and float32 scales, each of shape (four numbers), such that
    they can be multiplied.

    Args:
        codes: shape (groups, rows, columns).
        scale: of the blocks of columns that `blocks_of` tells, shape (groups, rows, blocks).
        shape: of the weight.
    """
    groups, rows, blocks = scale.shape
    block, wide = codes.shape[2] // blocks, scale[..., None].astype(np.float32)
    view = (groups, rows, blocks, block)
    if layer.in_axis == 0:
        view, wide = (groups, blocks, block, rows), wide.transpose(0, 2, 3, 1)
    return to_weight(layer, codes, shape).reshape(view), wide


def decoding_tensors(source: Source, scale: Array) -> list[TensorProto]:
    """Scales and the weight's shape for `decoded`."""
    name, shape = source.name, np.array(source.weight.shape, np.int64)
    return [tensor(scale, f"{name}/scale"), tensor(shape, f"{name}/shape")]


def decoded(place: Place, levels: str) -> str:
    """Add nodes that scale `levels`, floats as `arranged` has them.

    Returns:
        The name of the float weight.
    """
    name = place.weight
    scaled = place.node("Mul", [levels, f"{name}/scale"], f"{name}/scaled")
    return place.node("Reshape", [scaled, f"{name}/shape"], f"{name}/decoded")
