"""Patterns of zeros: `unstructured:0.5`, `2:4` and `block:0.5`."""

from typing import cast

import numpy as np

from paretune.errors import Infeasible
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.solvers.patterns import (
    BlockPattern,
    NMPattern,
    Pattern,
    UnstructuredPattern,
    share,
)
from paretune.search.backends.onnx.solvers.problem import Matrix
from paretune.search.backends.onnx.techniques.technique import Source
from paretune.spaces import NM, Block, Sparsity, Unstructured

WIDTH = 4
"""Weights of a block."""


class UnstructuredZeros:
    """Anywhere."""

    def pattern(self, source: Source, sparsity: Sparsity) -> Pattern:
        """For the solvers."""
        return UnstructuredPattern(cast(Unstructured, sparsity).amount)

    def holds(self, layer: WeightedNode, sparsity: Sparsity, kept: Matrix) -> bool:
        """At least as many zeros as asked for."""
        asked = share(cast(Unstructured, sparsity).amount, kept.size)
        return int(kept.size - np.count_nonzero(kept)) >= asked


class NMZeros:
    """At most n of every m neighbouring inputs are not zero."""

    def pattern(self, source: Source, sparsity: Sparsity) -> Pattern:
        """For the solvers.

        Raises:
            Infeasible: the layer has fewer than m inputs.
        """
        asked, inputs = cast(NM, sparsity), _inputs(source.layer, source.problem.weights)
        if inputs < asked.m:
            raise Infeasible(
                f"{source.layer.name}: {asked} needs {asked.m} inputs, it has {inputs}"
            )
        return NMPattern(asked.n, asked.m, inputs)

    def holds(self, layer: WeightedNode, sparsity: Sparsity, kept: Matrix) -> bool:
        """In every window."""
        asked = cast(NM, sparsity)
        windows = NMPattern(asked.n, asked.m, _inputs(layer, kept)).windows(kept.shape[2])
        return all(
            bool((np.count_nonzero(kept[..., w], axis=-1) <= asked.n).all()) for w in windows
        )


class BlockZeros:
    """Blocks of neighbouring inputs are zero as a whole."""

    def pattern(self, source: Source, sparsity: Sparsity) -> Pattern:
        """For the solvers.

        Raises:
            Infeasible: the layer has no room for a block.
        """
        inputs = _inputs(source.layer, source.problem.weights)
        if inputs < WIDTH:
            raise Infeasible(
                f"{source.layer.name}: {sparsity} needs {WIDTH} inputs, it has {inputs}"
            )
        return BlockPattern(cast(Block, sparsity).amount, WIDTH, inputs)

    def holds(self, layer: WeightedNode, sparsity: Sparsity, kept: Matrix) -> bool:
        """At least as many whole blocks as asked for."""
        pattern = BlockPattern(cast(Block, sparsity).amount, WIDTH, _inputs(layer, kept))
        windows = pattern.windows(kept.shape[2])
        blocks = [np.count_nonzero(kept[..., w], axis=-1) == 0 for w in windows]
        found = np.stack(blocks)
        return int(found.sum()) >= share(pattern.amount, found.size)


def _inputs(layer: WeightedNode, matrix: Matrix) -> int:
    """Input channels of a group: columns of the matrix for one kernel position."""
    positions = 1
    if layer.layer.op_type == "Conv":
        positions = int(np.prod(layer.layer.weight_shape[2:]))
    return int(matrix.shape[2]) // positions
