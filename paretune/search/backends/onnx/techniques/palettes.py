"""`palette2` to `palette8`: 2^bits values that all weights of a layer share."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from onnx import NodeProto, TensorProto

from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.matrices import to_weight
from paretune.search.backends.onnx.solvers.grid import Grid
from paretune.search.backends.onnx.solvers.palette import PaletteGrid, fit_palette
from paretune.search.backends.onnx.solvers.problem import Matrix, Problem
from paretune.search.backends.onnx.techniques.coded import (
    coded,
    coded_size,
    coded_tensors,
    read_coded,
)
from paretune.search.backends.onnx.techniques.technique import (
    LAYERS,
    Place,
    Source,
    Stored,
    View,
    tensor,
)
from paretune.spaces import Support


class Palette:
    """An index of `bits` bits for every weight, and a table."""

    supports: Mapping[str, Support] = dict.fromkeys(LAYERS, Support.STORAGE)

    def __init__(self, bits: int) -> None:
        self.bits = bits

    def grid(self, source: Source, problem: Problem) -> Grid:
        """A table fitted to the weights."""
        return fit_palette(problem, self.bits, zero=source.sparse, naive=source.naive)

    def store(self, source: Source, grid: Grid | None, found: Matrix) -> list[TensorProto]:
        """Indices in the order of the weight, and the table."""
        assert isinstance(grid, PaletteGrid)
        shape = source.weight.shape
        codes = to_weight(source.layer, grid.codes(found), shape)
        return [
            *coded_tensors(codes, grid.table, source.name),
            tensor(np.array(shape, np.int64), f"{source.name}/shape"),
        ]

    def emit(self, place: Place) -> None:
        """A decoder, and the layer's own node."""
        name, values = place.weight, coded(place, 2**self.bits)
        place.own(place.node("Reshape", [values, f"{name}/shape"], f"{name}/decoded"))

    def read(self, view: View, layer: WeightedNode, node: NodeProto) -> Stored | None:
        """A table of the right size, without scales."""
        found = read_coded(view, layer, node)
        if found is None or found.scaled or len(found.table) != 2**self.bits:
            return None
        return found.stored

    def size(self, layer: WeightedNode, shape: tuple[int, ...]) -> int:
        """Indices, the table, and what decodes them."""
        return coded_size(int(np.prod(shape)), 2**self.bits) + 8 * len(shape)


Palette2, Palette3, Palette4, Palette5, Palette6, Palette7, Palette8 = (
    partial(Palette, bits) for bits in range(2, 9)
)
