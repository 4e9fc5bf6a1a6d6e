"""int8 weights with a scale for every output channel: what both int8 formats store."""

import numpy as np
from onnx import TensorProto

from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.matrices import to_weight
from paretune.search.backends.onnx.solvers.grid import Grid
from paretune.search.backends.onnx.solvers.problem import Matrix
from paretune.search.backends.onnx.solvers.uniform import UniformGrid
from paretune.search.backends.onnx.techniques.technique import Source, tensor


def channel_tensors(source: Source, grid: Grid | None, found: Matrix) -> list[TensorProto]:
    """Weights, scales and zero points."""
    assert isinstance(grid, UniformGrid)
    codes = to_weight(source.layer, grid.codes(found), source.weight.shape)
    scale = grid.scale.astype(np.float32).reshape(-1)
    return [
        tensor(codes.astype(np.int8), source.name),
        tensor(scale, f"{source.name}/scale"),
        tensor(np.zeros(scale.shape, np.int8), f"{source.name}/zero_point"),
    ]


def channel_size(layer: WeightedNode, shape: tuple[int, ...]) -> int:
    """Bytes: one a weight, and 5 for every output channel."""
    return int(np.prod(shape)) + 5 * shape[layer.out_axis]
