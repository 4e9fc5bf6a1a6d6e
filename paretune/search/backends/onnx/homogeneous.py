"""Operators with f(x / s) = f(x) / s for every s > 0, and where they put the scales of channels.

The scales of a tensor are given as atoms, numbers that stand for them: an array of the tensor's
rank, of length 1 along axes where all values share one scale.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from onnx import NodeProto

from paretune.search.backends.onnx.graph import Array, Graph, attributes
from paretune.search.backends.onnx.solvers.scaling import Atoms

_ELEMENTWISE = frozenset("Relu LeakyRelu PRelu Abs Neg Identity Dropout".split())
_POOL = frozenset("MaxPool AveragePool LpPool GlobalMaxPool GlobalAveragePool GlobalLpPool".split())
_REDUCE = frozenset(f"Reduce{kind}" for kind in ("Mean", "Sum", "Max", "Min", "L1", "L2"))
_SHAPE = frozenset("Reshape Flatten Squeeze Unsqueeze".split())


def passed_on(graph: Graph, node: NodeProto, given: Atoms) -> list[Atoms]:
    """The atoms of the node's outputs, given those of its first input; none if it has no such law.

    Args:
        graph: clean.
        node: reads no other tensor whose channels have scales.
        given: atoms, of the input's rank.
    """
    kind = node.op_type
    before, after = graph.shapes[node.input[0]], graph.shapes[node.output[0]]
    if kind in _ELEMENTWISE or (kind == "Clip" and _is_relu(graph, node)):
        return [given]
    if kind in _POOL:
        return [given] if _shared(given, range(2, given.ndim)) else []
    if kind in _SHAPE:
        return [_reshaped(given, before, after)]
    if kind == "Transpose":
        return [given.transpose(attributes(node).get("perm", range(given.ndim)[::-1]))]
    if kind == "Split":
        axis = attributes(node).get("axis", 0) % given.ndim
        if _shared(given, [axis]):
            return [given] * len(node.output)
        ends = np.cumsum([graph.shapes[name][axis] for name in node.output])
        parts = pairwise([0, *ends.tolist()])
        return [given.take(range(start, end), axis) for start, end in parts]
    if kind in _REDUCE:
        axes = _axes(graph, node, len(before))
        if axes is None or not _shared(given, axes):
            return []
        return [given if len(before) == len(after) else given.squeeze(tuple(axes))]
    changed = [axis for axis, (a, b) in enumerate(zip(before, after, strict=False)) if a != b]
    if (kind == "Pad" and _pads_zeros(graph, node)) or (kind == "Resize" and _interpolates(node)):
        return [given] if _shared(given, changed) else []
    return []


def compressed(atoms: Atoms) -> Atoms:
    """The same atoms, of length 1 along axes where they do not change."""
    for axis in range(atoms.ndim):
        first = atoms.take([0], axis) if atoms.shape[axis] else atoms
        if (atoms == first).all():
            atoms = first
    return atoms


def _shared(atoms: Atoms, axes: Sequence[int]) -> bool:
    return all(atoms.shape[axis] == 1 for axis in axes)


def _reshaped(atoms: Atoms, before: tuple[int, ...], after: tuple[int, ...]) -> Atoms:
    if before and after and before[0] == after[0] and atoms.shape[0] == 1:
        # All samples are alike: one of them is enough.
        before, after = (1, *before[1:]), (1, *after[1:])
    return compressed(np.broadcast_to(atoms, before).reshape(after))


def _is_relu(graph: Graph, node: NodeProto) -> bool:
    """A `Clip` from 0 without an upper bound, or without any."""
    low, high = (_constant(graph, node, index) for index in (1, 2))
    unbounded = high is None or bool(np.all(high >= np.finfo(np.float32).max))
    return unbounded and (low is None or bool(np.all(low == 0)))


def _axes(graph: Graph, node: NodeProto, rank: int) -> list[int] | None:
    if attributes(node).get("noop_with_empty_axes") or len(node.input) < 2:
        return None if len(node.input) > 1 else list(range(rank))
    if node.input[1] not in graph.constants:
        return None
    return [int(axis) % rank for axis in graph.constants[node.input[1]].reshape(-1)]


def _pads_zeros(graph: Graph, node: NodeProto) -> bool:
    value = _constant(graph, node, 2)
    return value is None or bool(np.all(value == 0))


def _interpolates(node: NodeProto) -> bool:
    """Not `tf_crop_and_resize`, which fills up with a constant."""
    mode = attributes(node).get("coordinate_transformation_mode", b"half_pixel")
    return bool(mode != b"tf_crop_and_resize")


def _constant(graph: Graph, node: NodeProto, index: int) -> Array | None:
    """The constant that the node reads there, None if nothing, NaN if another tensor."""
    name = node.input[index] if index < len(node.input) else ""
    if not name:
        return None
    return graph.constants[name] if name in graph.constants else np.array(np.nan)
