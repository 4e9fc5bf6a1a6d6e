"""The float formats."""

from collections.abc import Mapping

import numpy as np
from onnx import NodeProto, TensorProto

from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.matrices import to_weight
from paretune.search.backends.onnx.solvers.grid import Grid
from paretune.search.backends.onnx.solvers.problem import Matrix, Problem
from paretune.search.backends.onnx.techniques.technique import (
    LAYERS,
    Place,
    Source,
    Stored,
    View,
    tensor,
)
from paretune.spaces import Support


class Fp32:
    """`fp32`: as exported."""

    supports: Mapping[str, Support] = dict.fromkeys(LAYERS, Support.NATIVE)

    def grid(self, source: Source, problem: Problem) -> Grid | None:
        """Any value."""
        return None

    def store(self, source: Source, grid: Grid | None, found: Matrix) -> list[TensorProto]:
        """One float32 tensor."""
        weight = to_weight(source.layer, found, source.weight.shape)
        return [tensor(weight.astype(np.float32), source.name)]

    def emit(self, place: Place) -> None:
        """The layer's own node."""
        place.own(place.weight)

    def read(self, view: View, layer: WeightedNode, node: NodeProto) -> Stored | None:
        """A float32 constant that the layer's own node reads."""
        return _read(view, layer, node, [], TensorProto.FLOAT)

    def size(self, layer: WeightedNode, shape: tuple[int, ...]) -> int:
        """4 bytes a weight."""
        return 4 * int(np.prod(shape))


class Fp16:
    """`fp16`: stored as half precision, and widened once, when the model is loaded."""

    supports: Mapping[str, Support] = dict.fromkeys(LAYERS, Support.STORAGE)

    def grid(self, source: Source, problem: Problem) -> Grid | None:
        """IEEE half precision."""
        return _Half()

    def store(self, source: Source, grid: Grid | None, found: Matrix) -> list[TensorProto]:
        """One float16 tensor."""
        weight = to_weight(source.layer, found, source.weight.shape)
        return [tensor(weight.astype(np.float16), source.name)]

    def emit(self, place: Place) -> None:
        """A `Cast`, which ONNX Runtime folds, and the layer's own node."""
        wide = f"{place.weight}/float"
        place.own(place.node("Cast", [place.weight], wide, to=TensorProto.FLOAT))

    def read(self, view: View, layer: WeightedNode, node: NodeProto) -> Stored | None:
        """A float16 constant behind a `Cast`."""
        return _read(view, layer, node, ["Cast"], TensorProto.FLOAT16)

    def size(self, layer: WeightedNode, shape: tuple[int, ...]) -> int:
        """2 bytes a weight."""
        return 2 * int(np.prod(shape))


class _Half:
    def nearest(self, weights: Matrix, start: int) -> Matrix:
        limit = np.finfo(np.float16).max
        return np.clip(weights, -limit, limit).astype(np.float16).astype(np.float64)


def _read(
    view: View, layer: WeightedNode, node: NodeProto, chain: list[str], kind: int
) -> Stored | None:
    if node.op_type != layer.layer.op_type:
        return None
    kinds, name = view.chain(layer, node)
    if kinds != chain or view.tensors[name].data_type != kind:
        return None
    return Stored(tuple(view.tensors[name].dims), lambda: view.array(name) != 0)
