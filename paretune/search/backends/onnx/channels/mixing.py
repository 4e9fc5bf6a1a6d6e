"""Operators that combine channels, or treat each channel in its own way."""

import numpy as np
from onnx import NodeProto

from paretune.search.backends.onnx.channels.atoms import Atoms
from paretune.search.backends.onnx.channels.trace import Trace
from paretune.search.backends.onnx.channels.tracked import Tracked
from paretune.search.backends.onnx.graph import attributes

POOLS = ("GlobalAveragePool", "GlobalMaxPool", "MaxPool", "AveragePool", "LpPool")
REDUCTIONS = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2")


def pool(trace: Trace, node: NodeProto) -> bool:
    given = trace.of(node.input[0])
    alone = given is not None and given.axes == (1,) and len(node.output) == 1
    return alone and trace.put(node.output[0], given)


def batch_normalization(trace: Trace, node: NodeProto) -> bool:
    given = trace.of(node.input[0])
    if given is None or given.axes != (1,):
        return False
    for name in node.input[1:5]:
        trace.slice(given, 1, name, 0)
    return trace.put(node.output[0], given)


def softmax(trace: Trace, node: NodeProto) -> bool:
    """Also `LogSoftmax`: what it sums over must stay."""
    given = trace.of(node.input[0])
    if given is None:
        return False
    rank = len(trace.shape(node.input[0]))
    trace.claim(given, attributes(node).get("axis", -1) % rank, None)
    return trace.put(node.output[0], given)


def layer_normalization(trace: Trace, node: NodeProto) -> bool:
    """Also `RMSNormalization`: what it averages over must stay."""
    given = trace.of(node.input[0])
    if given is None or len(node.output) > 1 or any(trace.of(name) for name in node.input[1:]):
        return False
    rank = len(trace.shape(node.input[0]))
    for axis in range(attributes(node).get("axis", -1) % rank, rank):
        trace.claim(given, axis, None)
    return trace.put(node.output[0], given)


def reduction(trace: Trace, node: NodeProto) -> bool:
    """Channels that are added up, as those of one attention head, can only go together."""
    given = trace.of(node.input[0])
    listed = trace.graph.constants.get(node.input[1]) if len(node.input) > 1 else None
    if given is None or listed is None:
        return False
    rank = len(trace.shape(node.input[0]))
    axes = {int(axis) % rank for axis in listed.reshape(-1)}
    kept = [axis for axis in given.axes if axis not in axes]
    if not kept:
        return False
    atoms = _tied(trace, given, kept)
    if not attributes(node).get("keepdims", 1):
        kept = [axis - sum(a < axis for a in axes) for axis in kept]
    return trace.put(node.output[0], Tracked(tuple(kept), atoms))


def product(trace: Trace, node: NodeProto) -> bool:
    """`MatMul` of two tensors with the same heads: a head has all of its channels, or none."""
    shapes = [trace.shape(name) for name in node.input]
    rank = len(trace.shape(node.output[0]))
    sides = []
    for name, shape in zip(node.input, shapes, strict=True):
        given = trace.of(name)
        if given is None or len(shape) != rank:
            return False
        sides.append(given)
    left, right = sides
    shared = [axis for axis in left.axes if axis in right.axes and axis < rank - 2]
    inside = [{axis for axis in side.axes if axis < rank - 2} for side in sides]
    if not shared or any(axes != set(shared) for axes in inside):
        return False
    atoms = _tied(trace, left, shared)
    trace.table.unite(atoms, _tied(trace, right, shared))
    return trace.put(node.output[0], Tracked(tuple(shared), atoms))


def _tied(trace: Trace, given: Tracked, kept: list[int]) -> Atoms:
    """Unite along all axes but those in `kept`; the atoms along these."""
    for axis in given.axes:
        if axis not in kept:
            trace.claim(given, axis, None)
    places = [given.axes.index(axis) for axis in kept]
    others = [p for p in range(given.atoms.ndim) if p not in places]
    moved = given.atoms.transpose([*places, *others])
    lines = moved.reshape(*moved.shape[: len(places)], -1)
    trace.table.unite(lines, lines[..., :1])
    return np.ascontiguousarray(lines[..., 0])
