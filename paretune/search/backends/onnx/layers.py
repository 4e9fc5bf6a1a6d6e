"""Reading the layers: the nodes of a clean graph that own weights."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from onnx import NodeProto

from paretune.search.backends.onnx.graph import Array, Graph, attributes
from paretune.spaces import Layer


@dataclass(frozen=True)
class WeightedNode:
    """Where a layer sits in the graph.

    Attributes:
        layer: what the rest of Paretune knows of it.
        node: the graph's node.
        data: name of the input tensor.
        weight, bias: names of the constants; `bias` is empty without one.
        out_axis, in_axis: axes of the weight that belong to output and input channels. For
            `Gather`, the row and the column axis.
        group: the `group` attribute of a convolution, else 1.
        stem: how the names of all that is made for this layer start.
    """

    layer: Layer
    node: NodeProto
    data: str
    weight: str
    bias: str
    out_axis: int
    in_axis: int
    group: int
    stem: str

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def depthwise(self) -> bool:
        """Every output channel reads the one input channel of the same number."""
        shape = self.layer.weight_shape
        return self.layer.op_type == "Conv" and 1 < self.group == shape[0] and shape[1] == 1


def find_layers(graph: Graph) -> list[WeightedNode]:
    """All layers in graph order: `Conv`, `ConvTranspose`, `Gemm`, `MatMul` and `Gather` whose
    weights are float constants."""
    return [found for node in graph.nodes if (found := _weighted(graph, node)) is not None]


def _weighted(graph: Graph, node: NodeProto) -> WeightedNode | None:
    names = graph.constants
    weight_index = 0 if node.op_type == "Gather" else 1
    if len(node.input) < 2 or node.input[weight_index] not in names or node.domain:
        return None
    weight = names[node.input[weight_index]]
    data = node.input[1 - weight_index]
    if weight.dtype != np.float32 or data in names:
        return None
    bias = node.input[2] if len(node.input) > 2 else ""
    values = attributes(node)
    group = int(values.get("group", 1))
    match node.op_type:
        case "Conv":
            out_axis, in_axis = 0, 1
        case "ConvTranspose":
            out_axis, in_axis = 1, 0
        case "Gemm" if not values:
            out_axis, in_axis = 1, 0
        case "MatMul" if weight.ndim == 2:
            out_axis, in_axis = 1, 0
        case "Gather" if weight.ndim == 2 and values.get("axis", 0) == 0:
            out_axis, in_axis = 0, 1
        case _:
            return None
    if bias and (bias not in names or names[bias].ndim != 1):
        return None
    layer = Layer(
        name=node.name,
        op_type=node.op_type,
        weight_shape=tuple(weight.shape),
        parameters=weight.size + (names[bias].size if bias else 0),
        macs=_macs(graph, node, weight, group),
        group=group,
    )
    stem = f"{node.name}{graph.mark}"
    return WeightedNode(
        layer, node, data, node.input[weight_index], bias, out_axis, in_axis, group, stem
    )


def _macs(graph: Graph, node: NodeProto, weight: Array, group: int) -> int | None:
    shapes: Mapping[str, tuple[int, ...]] = graph.shapes
    out, read = shapes.get(node.output[0]), shapes.get(node.input[0])
    if node.op_type == "Gather":
        return 0
    if not out or not read:
        return None
    # Each output element of Conv, MatMul and Gemm, and each input element of ConvTranspose,
    # meets this many weights.
    match node.op_type:
        case "Conv":
            total = int(np.prod(out)) * int(np.prod(weight.shape[1:]))
        case "ConvTranspose":
            total = int(np.prod(read)) * int(np.prod(weight.shape[1:]))
        case _:
            total = int(np.prod(out)) * weight.shape[0]
    return total // graph.batch
