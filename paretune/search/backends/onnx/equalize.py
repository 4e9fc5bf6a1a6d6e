"""Cross-layer equalization of a whole graph."""

import numpy as np
from onnx import ModelProto

from paretune.search.backends.onnx.graph import Graph
from paretune.search.backends.onnx.layers import find_layers
from paretune.search.backends.onnx.rescaling import ScaleMap, rescaled
from paretune.search.backends.onnx.scale_map import map_scales
from paretune.search.backends.onnx.solvers.problem import Matrix
from paretune.search.backends.onnx.solvers.scaling import Linked, equalizing_scales


def equalize(graph: Graph) -> ModelProto:
    """The same function with channels that are as wide where they are written as where they are
    read (Nagel et al., arXiv:1906.04721, section 4.1).

    All channels between layers count whose way leads through positively homogeneous operators
    only: `Relu`, pooling and the like, and sums. A `Clip` with an upper bound ends the way. A bias
    counts as one more weight, so that a channel of tiny weights and a large bias is not blown up.

    Args:
        graph: clean; it stays as it is.
    """
    found = map_scales(graph, find_layers(graph))
    return rescaled(graph, found, _scales(graph, found))


def _scales(graph: Graph, found: ScaleMap) -> Matrix:
    free = np.ones(found.count, bool)
    free[0] = False
    for one in found.constants:
        if one.role == "gain":
            free[one.inputs] = free[one.outputs] = False
    linked = [
        Linked(np.abs(graph.constants[one.constant]), one.inputs, one.outputs)
        for one in found.constants
        if free[one.inputs].any() or free[one.outputs].any()
    ]
    return equalizing_scales(linked, free)
