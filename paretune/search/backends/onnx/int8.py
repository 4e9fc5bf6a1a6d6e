"""Which nodes run in int8: the layers that a policy says, and the operators between them."""

from collections.abc import Mapping
from dataclasses import dataclass

from onnx import NodeProto

from paretune.search.backends.onnx.calibration import Range
from paretune.search.backends.onnx.graph import Array, Graph
from paretune.search.backends.onnx.operators import COMPUTING, LAYERS, MOVING, is_rectifier
from paretune.search.backends.onnx.quantize import activation_parameters


@dataclass(frozen=True)
class Parameters:
    """How a tensor's values map to uint8.

    Attributes:
        source: the tensor whose range it is; operators that only move values keep their input's.
        scale, zero_point: of shape ().
    """

    source: str
    scale: Array
    zero_point: Array


@dataclass(frozen=True)
class Int8Plan:
    """What of a graph runs in int8 under one policy.

    Attributes:
        nodes: names of the nodes that read uint8.
        written: node name to the tensor that it writes as uint8, a rectifier behind it included.
        swallowed: names of the rectifiers that saturation makes unnecessary.
        parameters: of every tensor that some node reads or writes as uint8.
    """

    nodes: frozenset[str]
    written: Mapping[str, str]
    swallowed: frozenset[str]
    parameters: Mapping[str, Parameters]


def plan_int8(graph: Graph, layers: frozenset[str], ranges: Mapping[str, Range]) -> Int8Plan:
    """Let the operators between int8 layers follow into int8.

    An operator follows if all tensors that it reads exist as uint8, because they were written so
    or because an int8 layer reads them, too, and if at least one of its readers reads uint8.

    A tensor that only float nodes read is written as float by `MatMul` and `Gemm`; a convolution
    has no kernel for that, so it always writes uint8.

    Args:
        graph: clean.
        layers: names of the layers that are int8.
        ranges: of the calibrated tensors.
    """
    written: dict[str, str] = {}
    # What an int8 layer reads is rounded to uint8 in any case, whoever wrote it.
    available = {node.input[0] for node in graph.nodes if node.name in layers}
    for node in graph.nodes:
        if node.name in layers or _can_follow(graph, node, available):
            target = _effective_output(graph, node, ranges)
            if target in ranges:
                written[node.name] = target
                available.add(target)
    kept: set[str] = set(layers)
    for node in reversed(graph.nodes):
        readers = graph.consumers.get(written.get(node.name, ""), [])
        read_as_int8 = any(reader.name in kept for reader in readers)
        if read_as_int8:
            kept.add(node.name)
        elif not (node.name in layers and node.op_type == "Conv"):
            written.pop(node.name, None)
    swallowed = {
        graph.consumers[node.output[0]][0].name
        for node in graph.nodes
        if written.get(node.name, node.output[0]) != node.output[0]
    }
    return Int8Plan(
        frozenset(kept), written, frozenset(swallowed), _parameters(graph, kept, written, ranges)
    )


def _can_follow(graph: Graph, node: NodeProto, available: set[str]) -> bool:
    if node.domain or node.op_type not in COMPUTING | MOVING:
        return False
    data = node.input[:1] if node.op_type in MOVING else node.input
    return all(name in available for name in data)


def _effective_output(graph: Graph, node: NodeProto, ranges: Mapping[str, Range]) -> str:
    """The tensor behind a rectifier that saturation at 0 replaces, else the node's own output."""
    output: str = node.output[0]
    if node.op_type in LAYERS or node.op_type in COMPUTING:
        reader = graph.sole_consumer(output)
        if reader is not None and is_rectifier(reader, graph.constants):
            behind: str = reader.output[0]
            # The lowest value is 0, so uint8's lowest value stands for it.
            if behind in ranges and ranges[behind][0] >= 0:
                return behind
    return output


def _parameters(
    graph: Graph, kept: set[str], written: Mapping[str, str], ranges: Mapping[str, Range]
) -> dict[str, Parameters]:
    found: dict[str, Parameters] = {}

    def of(tensor: str) -> Parameters:
        if tensor not in found:
            found[tensor] = Parameters(tensor, *activation_parameters(*ranges[tensor]))
        return found[tensor]

    for node in graph.nodes:
        if node.name not in kept and node.name not in written:
            continue
        reads = node.input[:1] if node.op_type in LAYERS | MOVING else node.input
        inputs = [of(name) for name in reads if name in ranges]
        if target := written.get(node.name):
            if node.op_type in MOVING and inputs:
                found[target] = inputs[0]
            else:
                of(target)
    return found
