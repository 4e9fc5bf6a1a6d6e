"""Following the channels through a graph, and finding the groups."""

from collections import Counter
from collections.abc import Callable

import numpy as np
from onnx import NodeProto

from paretune.search.backends.onnx.channels import elementwise, mixing, moving, selecting
from paretune.search.backends.onnx.channels.channel_map import ChannelMap
from paretune.search.backends.onnx.channels.sizes import follow_sizes, release
from paretune.search.backends.onnx.channels.trace import Trace
from paretune.search.backends.onnx.channels.tracked import Tracked
from paretune.search.backends.onnx.graph import Graph, reads
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.spaces import ChannelGroup

_RULES: dict[str, Callable[[Trace, NodeProto], bool]] = {
    **dict.fromkeys(elementwise.UNARY, elementwise.unary),
    **dict.fromkeys(elementwise.BROADCASTING, elementwise.broadcasting),
    **dict.fromkeys(mixing.POOLS, mixing.pool),
    **dict.fromkeys(mixing.REDUCTIONS, mixing.reduction),
    "BatchNormalization": mixing.batch_normalization,
    "Softmax": mixing.softmax,
    "LogSoftmax": mixing.softmax,
    "LayerNormalization": mixing.layer_normalization,
    "RMSNormalization": mixing.layer_normalization,
    "MatMul": mixing.product,
    "Transpose": moving.transpose,
    "Reshape": moving.reshape,
    "Flatten": moving.reshape,
    "Squeeze": moving.squeeze,
    "Unsqueeze": moving.unsqueeze,
    "Gather": selecting.gather,
    "Slice": selecting.slice_,
    "Split": selecting.split,
    "Concat": moving.concat,
    "Resize": moving.resize,
    "Pad": moving.resize,
}
"""Operator to what it does to channels; False from it: it cannot be followed."""


def map_channels(graph: Graph, layers: list[WeightedNode]) -> ChannelMap:
    """Follow the channels through the graph."""
    trace = Trace(graph)
    found = trace.map
    by_node = {layer.node.name: layer for layer in layers}
    for node in graph.nodes:
        layer = by_node.get(node.name)
        if not (_follow(trace, node) if layer is None else _layer(trace, layer)):
            trace.freeze(node)
            release(trace, *reads(node))
    for name in graph.outputs:
        release(trace, name)
        if leaving := trace.of(name):
            trace.table.freeze(leaving.atoms)
    trace.settle()
    roots = trace.table.roots
    found.outputs = {name: roots(atoms) for name, atoms in found.outputs.items()}
    found.inputs = {name: roots(atoms) for name, atoms in found.inputs.items()}
    _group(found, trace.table.frozen())
    return found


def _follow(trace: Trace, node: NodeProto) -> bool:
    if follow_sizes(trace, node):
        return True
    if not any(trace.of(name) for name in reads(node)):
        release(trace, *reads(node))
        return True
    if node.op_type != "Reshape":
        release(trace, *reads(node))
    rule = _RULES.get(node.op_type)
    if rule is None or node.domain or any(a.HasField("g") for a in node.attribute):
        return False
    return rule(trace, node)


def _layer(trace: Trace, layer: WeightedNode) -> bool:
    """New channels of its own, from those that it reads."""
    shape = layer.layer.weight_shape
    convolves = layer.layer.op_type.startswith("Conv")
    axis = 1 if convolves else len(trace.shape(layer.data)) - 1
    given = trace.of(layer.data)
    shared = not all(trace.graph.own(c) for c in (layer.weight, layer.bias) if c)
    mixes = (layer.group > 1 and not layer.depthwise) or shared
    if layer.layer.op_type == "Gather" or (given and given.axes != (axis,)) or mixes:
        return False
    found = trace.map
    read = shape[0] if layer.depthwise else shape[layer.in_axis]
    ins = given.atoms if given else trace.table.fresh((read,), frozen=True)
    if len(ins) != read:
        return False
    if layer.depthwise:
        atoms = ins
        trace.slice(Tracked((0,), atoms), 0, layer.weight, 0)
    else:
        atoms = trace.table.fresh((shape[layer.out_axis],))
        found.inputs[layer.name] = ins
        trace.slice(Tracked((0,), ins), 0, layer.weight, layer.in_axis)
        trace.slice(Tracked((0,), atoms), 0, layer.weight, layer.out_axis)
    if layer.bias:
        trace.slice(Tracked((0,), atoms), 0, layer.bias, 0)
    found.outputs[layer.name] = atoms
    after = len(trace.shape(layer.node.output[0]))
    if trace.put(layer.node.output[0], Tracked((1 if convolves else after - 1,), atoms)):
        return True
    trace.table.freeze(atoms)
    return False


def _group(found: ChannelMap, frozen: frozenset[int]) -> None:
    """The layers that share free atoms."""
    members: dict[frozenset[int], list[str]] = {}
    for name, atoms in found.outputs.items():
        members.setdefault(frozenset(atoms.tolist()), []).append(name)
    owners = Counter(atom for shared in members for atom in shared)
    for shared, names in members.items():
        often = [set(Counter(found.outputs[name].tolist()).values()) for name in names]
        # Layers that share only some of their channels, or some more often, stay whole.
        whole = all(len(counts) == 1 for counts in often)
        if whole and not shared & frozen and all(owners[atom] == 1 for atom in shared):
            first = found.outputs[names[0]].tolist()
            unit = len(first) // len(shared)
            found.groups.append(ChannelGroup(names[0], tuple(names), len(first), unit))
            found.atoms[names[0]] = np.array(list(dict.fromkeys(first)), np.int64)
