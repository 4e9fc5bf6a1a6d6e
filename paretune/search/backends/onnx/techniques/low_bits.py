"""`w3`, `w2`, `ternary` and `binary`: few levels times a scale, decoded once, at load."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from onnx import NodeProto, TensorProto

from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.matrices import columns_of
from paretune.search.backends.onnx.solvers.grid import Grid
from paretune.search.backends.onnx.solvers.problem import Matrix, Problem
from paretune.search.backends.onnx.solvers.signs import fit_signs
from paretune.search.backends.onnx.solvers.uniform import ScaledGrid, UniformGrid
from paretune.search.backends.onnx.techniques.coded import (
    coded,
    coded_size,
    coded_tensors,
    read_coded,
)
from paretune.search.backends.onnx.techniques.decoding import (
    arranged,
    block_size,
    blocks_of,
    decoded,
    decoding_tensors,
)
from paretune.search.backends.onnx.techniques.grids import block_grid
from paretune.search.backends.onnx.techniques.technique import (
    LAYERS,
    Place,
    Source,
    Stored,
    View,
    tensor,
)
from paretune.spaces import Support


class Levels(ABC):
    """Codes in the order of the weight, the levels they stand for, and scales."""

    supports: Mapping[str, Support] = dict.fromkeys(LAYERS, Support.STORAGE)

    def __init__(self, levels: Sequence[float]) -> None:
        self.table = np.array(levels, np.float32)

    @abstractmethod
    def grid(self, source: Source, problem: Problem) -> Grid:
        """The levels times scales."""

    @abstractmethod
    def block(self, columns: int) -> int:
        """How many of a row's weights share a scale."""

    def store(self, source: Source, grid: Grid | None, found: Matrix) -> list[TensorProto]:
        """Codes, levels, scales and shapes."""
        assert isinstance(grid, ScaledGrid)
        name = source.name
        codes = grid.codes(found)
        if isinstance(grid, UniformGrid):
            codes = codes - grid.low
        stored, scale = arranged(source.layer, codes, grid.scale, source.weight.shape)
        return [
            *coded_tensors(stored, self.table, name),
            tensor(np.array(stored.shape, np.int64), f"{name}/view"),
            *decoding_tensors(source, scale),
        ]

    def emit(self, place: Place) -> None:
        """A decoder, and the layer's own node."""
        name, values = place.weight, coded(place, len(self.table))
        blocks = place.node("Reshape", [values, f"{name}/view"], f"{name}/blocks")
        place.own(decoded(place, blocks))

    def read(self, view: View, layer: WeightedNode, node: NodeProto) -> Stored | None:
        """A table of these levels, with scales."""
        found = read_coded(view, layer, node)
        if found is None or not found.scaled or not np.array_equal(found.table, self.table):
            return None
        return found.stored

    def size(self, layer: WeightedNode, shape: tuple[int, ...]) -> int:
        """Codes, levels, scales, and what decodes them."""
        count = int(np.prod(shape))
        scales = count // self.block(columns_of(layer, shape))
        return coded_size(count, len(self.table)) + 4 * scales + 8 * (4 + len(shape))


class BlockLevels(Levels):
    """[-2^(bits-1), 2^(bits-1) - 1] times a scale for every block of inputs."""

    def __init__(self, bits: int) -> None:
        super().__init__(range(-(2 ** (bits - 1)), 2 ** (bits - 1)))
        self.bits = bits

    def grid(self, source: Source, problem: Problem) -> Grid:
        """See `block_grid`."""
        columns = problem.weights.shape[2]
        blocks = blocks_of(source.layer, columns, self.block(columns))
        return block_grid(problem, self.bits, blocks, naive=source.naive)

    def block(self, columns: int) -> int:
        """From 16 to 64."""
        return block_size(columns)


class Signs(Levels):
    """{-1, 1} or {-1, 0, 1} times a scale for every output."""

    def grid(self, source: Source, problem: Problem) -> Grid:
        """See `fit_signs`."""
        return fit_signs(problem, zero=0 in self.table, naive=source.naive)

    def block(self, columns: int) -> int:
        """All of them."""
        return columns


W2, W3 = partial(BlockLevels, 2), partial(BlockLevels, 3)
Binary, Ternary = partial(Signs, range(-1, 2, 2)), partial(Signs, range(-1, 2))
