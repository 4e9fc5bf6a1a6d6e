"""Sizes that a graph computes: vectors of numbers, some of which follow the channels by themselves.

Exporters read the shape of a tensor, pick and join sizes, and reshape other tensors with them.
"""

import numpy as np
from onnx import NodeProto

from paretune.search.backends.onnx.channels.trace import Trace
from paretune.search.backends.onnx.channels.tracked import Live, Size
from paretune.search.backends.onnx.graph import attributes, reads

_SAME = ("Cast", "Identity", "Squeeze", "Unsqueeze", "Reshape")


def sizes_of(trace: Trace, name: str) -> list[Size]:
    """What is known of a vector of integers."""
    if name in trace.graph.constants:
        return list(trace.graph.constants[name].reshape(-1).tolist())
    known = trace.sizes.get(name)
    return known if known is not None else [None] * int(np.prod(trace.shape(name)))


def follow_sizes(trace: Trace, node: NodeProto) -> bool:
    """Whether the node makes a vector of sizes, or a single one."""
    found = _computed(trace, node)
    if found is None or node.domain or len(trace.shape(node.output[0])) > 1:
        return False
    trace.sizes[node.output[0]] = found
    return True


def release(trace: Trace, *names: str) -> None:
    """Keep the channels whose number something computes with."""
    for name in names:
        for size in trace.sizes.get(name, []):
            if isinstance(size, Live):
                trace.claim(size.tracked, size.axis, None)


def _computed(trace: Trace, node: NodeProto) -> list[Size] | None:
    kind, values = node.op_type, attributes(node)
    if kind == "Shape":
        given = trace.of(node.input[0])
        axes = range(len(trace.shape(node.input[0])))[slice(values.get("start"), values.get("end"))]
        return [Live(given, a) if given and a in given.axes else None for a in axes]
    if kind == "Concat":
        known = any(
            name in trace.sizes
            or (name in trace.graph.constants and trace.graph.constants[name].dtype == np.int64)
            for name in node.input
        )
        joined = [size for name in node.input for size in sizes_of(trace, name)]
        return joined if known and not any(trace.of(name) for name in reads(node)) else None
    if not node.input or node.input[0] not in trace.sizes:
        return None
    sizes = trace.sizes[node.input[0]]
    if kind in _SAME:
        return sizes
    numbers = [trace.graph.constants.get(name) for name in node.input[1:]]
    fixed = [n.reshape(-1).tolist() for n in numbers if n is not None]
    if kind not in ("Gather", "Slice") or len(fixed) < len(numbers):
        return None
    if kind == "Gather":
        return [sizes[index] for index in fixed[0]]
    step = fixed[3][0] if len(fixed) > 3 else 1
    return sizes[fixed[0][0] : fixed[1][0] : step]
