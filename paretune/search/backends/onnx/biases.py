"""Where a layer's bias is: what takes up a change of the layer's mean output."""

from dataclasses import dataclass

from paretune.search.backends.onnx.graph import Graph
from paretune.search.backends.onnx.layers import WeightedNode


@dataclass(frozen=True)
class Bias:
    """A place for a bias.

    Attributes:
        constant: its name; empty where there is none yet.
        adder: name of the node that adds it to a layer which cannot; empty where the layer does.
    """

    constant: str
    adder: str = ""


def find_bias(graph: Graph, layer: WeightedNode) -> Bias | None:
    """The bias of a layer's output channels; None where a change of the mean has no place to go.

    A `MatMul` has one in the `Add` behind it. A `ConvTranspose` has one, but the mean of what its
    kernel positions add up to differs at the borders.
    """
    if layer.bias and layer.layer.op_type != "ConvTranspose":
        return Bias(layer.bias) if graph.own(layer.bias) else None
    match layer.layer.op_type:
        case "Conv" | "Gemm":
            return Bias("")
        case "MatMul":
            adder = graph.sole_consumer(layer.node.output[0])
            if adder is None or adder.op_type != "Add" or adder.domain:
                return None
            others = [name for name in adder.input if name != layer.node.output[0]]
            size = layer.layer.weight_shape[layer.out_axis]
            if len(others) != 1 or not graph.own(others[0]):
                return None
            fits = graph.constants[others[0]].shape == (size,)
            return Bias(others[0], adder.name) if fits else None
        case _:
            return None
