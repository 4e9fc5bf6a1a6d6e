"""Rescaling the channels of a graph, which leaves what it computes as it is."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from onnx import ModelProto, numpy_helper

from paretune.search.backends.onnx.graph import Graph
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.solvers.problem import Matrix
from paretune.search.backends.onnx.solvers.scaling import Atoms


@dataclass(frozen=True)
class Scaled:
    """A constant whose entries are multiplied by the scales of `inputs` over those of `outputs`.

    Attributes:
        constant: its name.
        role: a layer's `weight`; a `gain` that multiplies channels; a `shift` that is added.
        inputs, outputs: atoms, of shapes that broadcast to the constant's.
        layer: of a weight.
    """

    constant: str
    role: Literal["weight", "gain", "shift"]
    inputs: Atoms
    outputs: Atoms
    layer: WeightedNode | None = None


@dataclass(frozen=True)
class ScaleMap:
    """All constants that change when channels are rescaled.

    Attributes:
        count: number of atoms; atom 0 is that of all channels that keep their scale.
        constants: in graph order, each once.
    """

    count: int
    constants: tuple[Scaled, ...]


def rescaled(graph: Graph, found: ScaleMap, scales: Matrix) -> ModelProto:
    """A copy of the graph's model whose channels are divided by their scales.

    Args:
        graph: clean.
        found: of the graph.
        scales: shape (atoms,), positive, 1 for atom 0.
    """
    model = ModelProto()
    model.CopyFrom(graph.model)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for one in found.constants:
        factor = scales[one.inputs] / scales[one.outputs]
        if (factor != 1).any():
            changed = (graph.constants[one.constant] * factor).astype(np.float32)
            tensors[one.constant].CopyFrom(numpy_helper.from_array(changed, one.constant))
    return model
