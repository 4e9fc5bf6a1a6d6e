"""Residual blocks: parts of the graph that can go, so that only what they were added to stays."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from onnx import NodeProto, helper

from paretune.search.backends.onnx.graph import Graph, reads, rename_inputs
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.spaces import ResidualBlock


@dataclass(frozen=True)
class Branch:
    """Where a residual block sits in the graph.

    Attributes:
        block: what the rest of Paretune knows of it.
        nodes: names of the nodes that nothing else needs, and of the `Add` that they end in.
        output: what the `Add` writes.
        skip: the other tensor that it reads, which takes the place of `output`.
    """

    block: ResidualBlock
    nodes: frozenset[str]
    output: str
    skip: str


@dataclass(frozen=True)
class _Side:
    """One of the two tensors that an `Add` reads, and the nodes that only this tensor needs."""

    tensor: str
    nodes: frozenset[str]
    sources: frozenset[str]
    layers: tuple[str, ...]


def find_blocks(graph: Graph, layers: Sequence[WeightedNode]) -> list[Branch]:
    """The residual blocks, in the order of the `Add`s that they end in; none is within another.

    A block is what an `Add` adds to the tensor that it was computed from, y = x + f(x); or the
    longer of two branches from the same tensor, y = g(x) + f(x), as where a convolution adapts the
    shortcut. Of blocks that hold each other, the innermost count.
    """
    owner = {layer.node.name: layer.name for layer in layers}
    found: list[tuple[int, Branch]] = []
    nodes = graph.nodes
    for index, node in enumerate(nodes):
        if node.op_type != "Add" or node.domain or not _agree(graph, node):
            continue
        left, right = (_side(graph, nodes[:index], node, tensor, owner) for tensor in node.input)
        for side, other in ((left, right), (right, left)):
            straight = other.tensor in side.sources
            adapted = bool(side.sources & other.sources) and len(side.layers) > len(other.layers)
            if side.layers and (straight or adapted):
                block = ResidualBlock(side.layers[0], side.layers)
                gone = side.nodes | {node.name}
                branch = Branch(block, gone, node.output[0], other.tensor)
                found.append((index, branch))
                break
    taken: set[str] = set()
    chosen = []
    for index, branch in sorted(found, key=lambda item: (len(item[1].nodes), item[0])):
        if not branch.nodes & taken:
            taken |= branch.nodes
            chosen.append((index, branch))
    return [branch for _, branch in sorted(chosen, key=lambda item: item[0])]


def _agree(graph: Graph, add: NodeProto) -> bool:
    """Whether it adds two different tensors of one shape."""
    shapes = {graph.shapes.get(name) for name in (*add.input, add.output[0])}
    constant = any(name in graph.constants for name in add.input)
    return add.input[0] != add.input[1] and not constant and len(shapes) == 1 and None not in shapes


def _side(
    graph: Graph,
    before: Sequence[NodeProto],
    add: NodeProto,
    tensor: str,
    owner: Mapping[str, str],
) -> _Side:
    inside: dict[str, NodeProto] = {}
    for node in reversed(before):
        readers = [(n.name, out) for out in node.output for n in graph.consumers.get(out, [])]
        needed = graph.outputs.intersection(node.output) or not readers
        if not needed and all(
            name in inside or (name == add.name and out == tensor) for name, out in readers
        ):
            inside[node.name] = node
    made = {out for node in inside.values() for out in node.output}
    sources = {name for node in inside.values() for name in reads(node)} - made
    names = tuple(owner[name] for name in reversed(inside) if name in owner)
    sources = {name for name in sources if name not in graph.constants}
    return _Side(tensor, frozenset(inside), frozenset(sources), names)


def without(
    graph: Graph, layers: Mapping[str, WeightedNode], dropped: Iterable[Branch]
) -> tuple[Graph, dict[str, WeightedNode]]:
    """The graph and its layers after blocks were dropped; what was given stays as it is.

    Args:
        graph, layers: of the whole model.
        dropped: in the order of `find_blocks`.
    """
    gone: set[str] = set()
    instead: dict[str, str] = {}
    for branch in dropped:
        # What a later block is added to may be the end of an earlier one.
        gone |= branch.nodes
        instead[branch.output] = instead.get(branch.skip, branch.skip)
    nodes = [rename_inputs(node, instead) for node in graph.nodes if node.name not in gone]
    for output in graph.outputs & instead.keys():
        name = f"{output}{graph.mark}Identity"
        nodes.append(helper.make_node("Identity", [instead[output]], [output], name))
    by_name = {node.name: node for node in nodes}
    kept = {
        name: replace(
            layer,
            node=by_name[layer.node.name],
            data=instead.get(layer.data, layer.data),
        )
        for name, layer in layers.items()
        if layer.node.name in by_name
    }
    return graph.with_nodes(nodes), kept
