"""Operators that pass channels on to another place."""

import numpy as np
from onnx import NodeProto

from paretune.search.backends.onnx.channels.sizes import sizes_of
from paretune.search.backends.onnx.channels.trace import Trace, Vector
from paretune.search.backends.onnx.channels.tracked import Live, Tracked
from paretune.search.backends.onnx.graph import attributes


def transpose(trace: Trace, node: NodeProto) -> bool:
    given = trace.of(node.input[0])
    rank = len(trace.shape(node.input[0]))
    order = list(attributes(node).get("perm", range(rank)[::-1]))
    return given is not None and trace.put(node.output[0], given.transposed(order))


def reshape(trace: Trace, node: NodeProto) -> bool:
    """Also `Flatten`. Sizes that the target shape spells out change with the channels."""
    given = trace.of(node.input[0])
    after = trace.shape(node.output[0])
    found = given.reshaped(trace.shape(node.input[0]), after) if given else None
    if found is None or any(trace.of(name) for name in node.input[1:]):
        return False
    found = found.simplified()
    if node.op_type == "Reshape":
        for axis, size in enumerate(sizes_of(trace, node.input[1])):
            place = found.place(axis)
            if place is None:
                if isinstance(size, Live):
                    trace.claim(size.tracked, size.axis, None)
            elif isinstance(size, Live):
                trace.match(found, axis, size)
            elif size is None:
                trace.claim(found, axis, None)
            elif size != -1:
                counted = range(found.atoms.shape[place])
                trace.count(found, axis, counted, Vector(node.name, 1, axis, size))
    return trace.put(node.output[0], found)


def squeeze(trace: Trace, node: NodeProto) -> bool:
    given = trace.of(node.input[0])
    axes = trace.graph.constants.get(node.input[1]) if len(node.input) > 1 else None
    if given is None or axes is None:
        return False
    rank = len(trace.shape(node.input[0]))
    gone = {int(axis) % rank for axis in axes.reshape(-1)}
    if gone & set(given.axes):
        return False
    moved = tuple(axis - sum(a < axis for a in gone) for axis in given.axes)
    return trace.put(node.output[0], Tracked(moved, given.atoms))


def unsqueeze(trace: Trace, node: NodeProto) -> bool:
    given = trace.of(node.input[0])
    axes = trace.graph.constants.get(node.input[1]) if len(node.input) > 1 else None
    if given is None or axes is None:
        return False
    rank = len(trace.shape(node.output[0]))
    new = {int(axis) % rank for axis in axes.reshape(-1)}
    old = [axis for axis in range(rank) if axis not in new]
    moved = tuple(old[axis] for axis in given.axes)
    return trace.put(node.output[0], Tracked(moved, given.atoms))


def concat(trace: Trace, node: NodeProto) -> bool:
    at = attributes(node)["axis"] % len(trace.shape(node.output[0]))
    parts = [trace.of(name) for name in node.input]
    found = [part for part in parts if part is not None]
    axes = found[0].axes
    if any(part.axes != axes for part in found):
        return False
    place = found[0].place(at)
    if place is None:
        # All parts must have the same channels.
        if len(found) < len(parts):
            return False
        for other in found[1:]:
            trace.table.unite(found[0].atoms, other.atoms)
        return trace.put(node.output[0], found[0])
    if any(name in trace.graph.constants for name in node.input):
        return False
    pieces = []
    for name, part in zip(node.input, parts, strict=True):
        sizes = tuple(trace.shape(name)[axis] for axis in axes)
        pieces.append(part.atoms if part else trace.table.fresh(sizes, frozen=True))
    return trace.put(node.output[0], Tracked(axes, np.concatenate(pieces, place)))


def resize(trace: Trace, node: NodeProto) -> bool:
    """Also `Pad`, where it leaves the channel axes alone."""
    given = trace.of(node.input[0])
    fixed = node.op_type == "Resize" and len(node.input) > 3 and node.input[3]
    if given is None or fixed or any(trace.of(name) for name in node.input[1:]):
        return False
    return trace.put(node.output[0], given)
