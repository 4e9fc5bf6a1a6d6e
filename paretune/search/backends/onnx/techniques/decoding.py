"""Weights that are decoded once, when the model is loaded.

ONNX Runtime computes what depends on constants alone when it loads a model. It does not do so with
`DequantizeLinear`, which it computes at every run: measured, a ResNet-8 twice as slow.
"""

from collections.abc import Sequence

import numpy as np
from onnx import NodeProto, TensorProto

from paretune.search.backends.onnx.graph import Array
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.matrices import columns_of, layout, to_matrix, to_weight
from paretune.search.backends.onnx.techniques.technique import (
    Place,
    Source,
    Stored,
    View,
    tensor,
)


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


def in_blocks(layer: WeightedNode, matrix: Array, shape: tuple[int, ...], block: int) -> Array:
    """A matrix as it is stored: shape (groups · rows, blocks, block)."""
    if layer.layer.op_type == "Conv":
        matrix = to_weight(layer, matrix, shape)
    rows = matrix.size // columns_of(layer, shape)
    return matrix.reshape(rows, -1, block)


def decoding_tensors(source: Source, scale: Array) -> list[TensorProto]:
    """Scales and shapes for `decoded`.

    Args:
        scale: shape (groups, rows, blocks).
    """
    name = source.name
    shapes = {"shape": list(source.weight.shape)}
    if source.layer.layer.op_type == "ConvTranspose":
        shapes["dims"], _ = layout(source.layer, source.weight.shape)
    return [
        tensor(scale.astype(np.float32).reshape(-1, scale.shape[2], 1), f"{name}/scale"),
        *(tensor(np.array(dims, np.int64), f"{name}/{key}") for key, dims in shapes.items()),
    ]


def decoded(place: Place, levels: str) -> str:
    """Add nodes that scale and arrange `levels`, floats as `in_blocks` has them.

    Returns:
        The name of the float weight.
    """
    name = place.weight
    wide = place.node("Mul", [levels, f"{name}/scale"], f"{name}/scaled")
    if place.layer.layer.op_type == "ConvTranspose":
        _, order = layout(place.layer, place.shape)
        wide = place.node("Reshape", [wide, f"{name}/dims"], f"{name}/matrix")
        wide = place.node("Transpose", [wide], f"{name}/turned", perm=order)
    return place.node("Reshape", [wide, f"{name}/shape"], f"{name}/decoded")


def read_decoded(
    view: View, layer: WeightedNode, node: NodeProto, chain: Sequence[str], kind: int
) -> Stored | None:
    """What `decoded` decodes, if its levels come from a constant of type `kind` through `chain`."""
    if node.op_type != layer.layer.op_type:
        return None
    turned = ["Transpose", "Reshape"] if layer.layer.op_type == "ConvTranspose" else []
    kinds, name = view.chain(layer, node)
    if kinds != ["Reshape", *turned, "Mul", *chain] or view.tensors[name].data_type != kind:
        return None
    shape = tuple(view.array(f"{layer.stem}weight/shape").tolist())

    def nonzero() -> Array:
        codes = view.array(name).astype(np.int8)
        if layer.layer.op_type != "Conv":
            matrix = codes.reshape(to_matrix(layer, np.empty(shape)).shape)
            codes = to_weight(layer, matrix, shape)
        found: Array = codes.reshape(shape) != 0
        return found

    return Stored(shape, nonzero)


def decoding_size(layer: WeightedNode, shape: tuple[int, ...]) -> int:
    """Bytes of the shapes that `decoding_tensors` adds."""
    dims = layout(layer, shape)[0] if layer.layer.op_type == "ConvTranspose" else []
    return 8 * (len(dims) + len(shape))
