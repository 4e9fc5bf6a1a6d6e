"""Operators that pass some of the channels on."""

import numpy as np
from onnx import NodeProto

from paretune.search.backends.onnx.channels.atoms import Atoms
from paretune.search.backends.onnx.channels.trace import Trace, Vector
from paretune.search.backends.onnx.channels.tracked import Tracked
from paretune.search.backends.onnx.graph import attributes


def gather(trace: Trace, node: NodeProto) -> bool:
    """One or some entries of an axis, by constant numbers, which removal must not shift."""
    given = trace.of(node.input[0])
    numbers = trace.graph.constants.get(node.input[1])
    if given is None or numbers is None or numbers.ndim > 1:
        return False
    axis = attributes(node).get("axis", 0) % len(trace.shape(node.input[0]))
    place = given.place(axis)
    if place is None:
        axes = tuple(a - (numbers.ndim == 0 and a > axis) for a in given.axes)
        return trace.put(node.output[0], Tracked(axes, given.atoms))
    trace.claim(given, axis, None)
    atoms: Atoms = given.atoms.take(numbers.astype(np.int64).reshape(-1), place)
    trace.share(atoms, given.atoms)
    if numbers.ndim:
        return trace.put(node.output[0], Tracked(given.axes, atoms))
    axes = tuple(a - (a > axis) for a in given.axes if a != axis)
    return bool(axes) and trace.put(node.output[0], Tracked(axes, atoms.squeeze(place)))


def slice_(trace: Trace, node: NodeProto) -> bool:
    """A range of an axis; where it starts and ends moves with the channels before it."""
    given = trace.of(node.input[0])
    numbers = [trace.graph.constants.get(name) for name in node.input[1:]]
    if given is None or any(n is None for n in numbers):
        return False
    starts, ends, *rest = ([int(x) for x in n.reshape(-1)] for n in numbers if n is not None)
    rank = len(trace.shape(node.input[0]))
    axes = [axis % rank for axis in rest[0]] if rest else list(range(len(starts)))
    steps = rest[1] if len(rest) > 1 else [1] * len(starts)
    atoms = given.atoms
    for entry, axis in enumerate(axes):
        place = given.place(axis)
        if place is None:
            continue
        size = atoms.shape[place]
        first, last, step = slice(starts[entry], ends[entry], steps[entry]).indices(size)
        atoms = np.take(atoms, np.arange(first, last, step), place)
        if (first, last, step) == (0, size, 1) and ends[entry] >= size:
            continue
        if step != 1:
            trace.claim(given, axis, None)
            continue
        trace.count(given, axis, range(first), Vector(node.name, 1, entry, starts[entry]))
        trace.count(given, axis, range(last), Vector(node.name, 2, entry, ends[entry]))
    trace.share(atoms, given.atoms)
    return trace.put(node.output[0], Tracked(given.axes, atoms))


def split(trace: Trace, node: NodeProto) -> bool:
    """Parts of an axis; their sizes change with the channels."""
    given = trace.of(node.input[0])
    if given is None:
        return False
    axis = attributes(node).get("axis", 0) % len(trace.shape(node.input[0]))
    place = given.place(axis)
    if place is None:
        followed = [trace.put(name, given) for name in node.output]
        return all(followed)
    sizes = [trace.shape(name)[axis] for name in node.output]
    if len(set(sizes)) > 1 if len(node.input) < 2 else node.input[1] not in trace.graph.constants:
        return False
    ends = np.cumsum(sizes).tolist()
    for entry, (name, start, end) in enumerate(zip(node.output, [0, *ends], ends, strict=False)):
        atoms = given.atoms.take(range(start, end), place)
        trace.share(atoms, given.atoms)
        if len(node.input) > 1:
            now = Vector(node.name, 1, entry, end - start)
            trace.count(given, axis, range(start, end), now)
        if not trace.put(name, Tracked(given.axes, atoms)):
            return False
    return True
