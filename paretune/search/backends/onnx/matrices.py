"""A layer's weight as the matrix that solvers work on, and back.

The columns are in the order (kernel position, input channel), the input channel running fastest:
what a pattern or a block takes from neighbouring inputs is then side by side.
"""

import numpy as np

from paretune.search.backends.onnx.graph import Array
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.solvers.problem import Matrix


def to_matrix(layer: WeightedNode, weight: Array) -> Matrix:
    """The weight as float64, shape (groups, rows, columns).

    `Conv`: a group's (out, kernel · in). `ConvTranspose`: a group's (out · kernel, in). `Gemm` and
    `MatMul`: (1, out, in). `Gather`: the table as it is, (1, entries, width).

    Args:
        layer: where the weight sits.
        weight: as stored in the graph; channels may have been removed.
    """
    wide = np.asarray(weight, np.float64)
    groups = _groups(layer, weight)
    match layer.layer.op_type:
        case "Conv":
            last = np.moveaxis(wide, 1, -1)
            return np.ascontiguousarray(last.reshape(groups, wide.shape[0] // groups, -1))
        case "ConvTranspose":
            inputs, outputs, *kernel = wide.shape
            split = wide.reshape(groups, inputs // groups, outputs, int(np.prod(kernel)))
            rows = split.transpose(0, 2, 3, 1)
            return np.ascontiguousarray(rows.reshape(groups, -1, inputs // groups))
        case "Gather":
            return wide[None]
        case _:
            return np.ascontiguousarray(wide.T[None])


def to_weight(layer: WeightedNode, matrix: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of `to_matrix`, of any type.

    Args:
        matrix: shape (groups, rows, columns).
        shape: of the weight.
    """
    stored: Array
    match layer.layer.op_type:
        case "Conv":
            outputs, inputs, *kernel = shape
            stored = np.moveaxis(matrix.reshape(outputs, *kernel, inputs), -1, 1)
        case "ConvTranspose":
            inputs, outputs, *kernel = shape
            groups = matrix.shape[0]
            split = matrix.reshape(groups, outputs, int(np.prod(kernel)), inputs // groups)
            stored = split.transpose(0, 3, 1, 2).reshape(shape)
        case "Gather":
            stored = matrix[0]
        case _:
            stored = matrix[0].T
    return stored


def columns_of(layer: WeightedNode, shape: tuple[int, ...]) -> int:
    """Columns of the matrix of a weight of this shape."""
    match layer.layer.op_type:
        case "Conv":
            return int(np.prod(shape[1:]))
        case "ConvTranspose":
            return shape[0] // layer.group
        case "Gather":
            return shape[1]
        case _:
            return shape[0]


def _groups(layer: WeightedNode, weight: Array) -> int:
    return weight.shape[0] if layer.depthwise else layer.group
