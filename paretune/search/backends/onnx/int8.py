"""Which nodes run in int8: the layers that a policy says, and the operators between them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from onnx import NodeProto, TensorProto

from paretune.search.backends.onnx.activations import Activations
from paretune.search.backends.onnx.graph import Array, Graph
from paretune.search.backends.onnx.operators import COMPUTING, LAYERS, MOVING, is_rectifier
from paretune.search.backends.onnx.ranges import Range


@dataclass(frozen=True)
class Parameters:
    """How a tensor's values map to integers.

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
        nodes: names of the nodes that read integers.
        written: node name to the tensor that it writes as integers, a rectifier behind it included.
        swallowed: names of the rectifiers that saturation makes unnecessary.
        parameters: of every tensor that some node reads or writes as integers.
        given: tensors that are integers in the graph itself.
    """

    nodes: frozenset[str]
    written: Mapping[str, str]
    swallowed: frozenset[str]
    parameters: Mapping[str, Parameters]
    given: frozenset[str]

    @cached_property
    def rounded(self) -> frozenset[str]:
        """Float tensors that hold only values which an integer stands for."""
        return self.given.union(self.written.values())


def plan_int8(
    graph: Graph,
    layers: frozenset[str],
    ranges: Mapping[str, Range],
    activations: Activations | None = None,
    *,
    throughout: bool = False,
) -> Int8Plan:
    """Let the operators between int8 layers follow into int8.

    An operator follows if all tensors that it reads exist as integers, because they were written so
    or because an int8 layer reads them, too, and if at least one of its readers reads integers.

    A tensor that only float nodes read is written as float by `MatMul` and `Gemm`; a convolution
    has no kernel for that, so it always writes integers.

    Args:
        graph: clean.
        layers: names of the layers that are int8.
        ranges: of the calibrated tensors.
        activations: uint8 by default.
        throughout: let everything follow that can: also operators that read float constants, and
            those that write the graph's outputs.
    """
    activations = activations or Activations()
    given = _given(graph, activations)
    written: dict[str, str] = {}
    rectifiers: dict[str, str] = {}
    # What an int8 layer reads is rounded to integers in any case, whoever wrote it.
    available = {node.input[0] for node in graph.nodes if node.name in layers} | given.keys()
    if throughout:
        available |= _float_constants(graph)
    for node in graph.nodes:
        if node.name in layers or _can_follow(graph, node, available):
            target, rectifier = _effective_output(graph, node, ranges)
            if target in ranges:
                written[node.name] = target
                available.add(target)
                if rectifier:
                    rectifiers[node.name] = rectifier
    outputs = graph.outputs if throughout else frozenset()
    kept: set[str] = set(layers)
    for node in reversed(graph.nodes):
        written_here = written.get(node.name, "")
        readers = graph.consumers.get(written_here, [])
        if written_here in outputs or any(reader.name in kept for reader in readers):
            kept.add(node.name)
        elif not (node.name in layers and node.op_type == "Conv"):
            written.pop(node.name, None)
    parameters = _parameters(graph, kept, written, ranges, given, activations)
    between = {name: rectifier for name, rectifier in rectifiers.items() if name in written}
    if activations.symmetric:
        # The lowest integer stands for a negative value: the rectifier stays, and writes integers.
        written = {between.get(name, name): target for name, target in written.items()}
        between = {}
    swallowed = frozenset(between.values())
    return Int8Plan(frozenset(kept), written, swallowed, parameters, frozenset(given))


def _given(graph: Graph, activations: Activations) -> dict[str, Parameters]:
    """What the graph itself makes of integers of the right type."""
    found = {}
    for node in graph.nodes:
        if node.op_type != "DequantizeLinear" or node.domain or len(node.input) < 3:
            continue
        data, scale, zero_point = node.input
        if data in graph.constants or not {scale, zero_point} <= graph.constants.keys():
            continue
        parameters = Parameters(node.output[0], graph.constants[scale], graph.constants[zero_point])
        fits = parameters.zero_point.dtype == activations.dtype
        if fits and parameters.scale.shape == parameters.zero_point.shape == ():
            found[node.output[0]] = parameters
    return found


def _float_constants(graph: Graph) -> set[str]:
    """Those that operators compute with."""
    names = {name for node in graph.nodes if node.op_type in COMPUTING for name in node.input}
    tensors = graph.constants.tensors
    return {n for n in names & tensors.keys() if tensors[n].data_type == TensorProto.FLOAT}


def _can_follow(graph: Graph, node: NodeProto, available: set[str]) -> bool:
    if node.domain or node.op_type not in COMPUTING | MOVING:
        return False
    data = node.input[:1] if node.op_type in MOVING else node.input
    return all(name in available for name in data)


def _effective_output(
    graph: Graph, node: NodeProto, ranges: Mapping[str, Range]
) -> tuple[str, str]:
    """The tensor behind a rectifier that saturation at 0 replaces, and the rectifier's name; else
    the node's own output, and nothing."""
    output: str = node.output[0]
    if node.op_type in LAYERS or node.op_type in COMPUTING:
        reader = graph.sole_consumer(output)
        if reader is not None and is_rectifier(reader, graph.constants):
            behind: str = reader.output[0]
            # The lowest value is 0, so the lowest integer stands for it.
            if behind in ranges and ranges[behind][0] >= 0:
                return behind, reader.name
    return output, ""


def _parameters(
    graph: Graph,
    kept: set[str],
    written: Mapping[str, str],
    ranges: Mapping[str, Range],
    given: Mapping[str, Parameters],
    activations: Activations,
) -> dict[str, Parameters]:
    found = dict(given)

    def of(tensor: str) -> Parameters:
        if tensor not in found:
            found[tensor] = Parameters(tensor, *activations.parameters(*ranges[tensor]))
        return found[tensor]

    for node in graph.nodes:
        if node.name not in kept and node.name not in written:
            continue
        reads = node.input[:1] if node.op_type in LAYERS | MOVING else node.input
        inputs = [of(name) for name in reads if name in ranges or name in given]
        if target := written.get(node.name):
            if node.op_type in MOVING and inputs:
                found[target] = inputs[0]
            else:
                of(target)
    return found
