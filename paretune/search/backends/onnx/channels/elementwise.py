"""Operators that treat every element alike."""

import numpy as np
from onnx import NodeProto

from paretune.search.backends.onnx.channels.trace import Trace
from paretune.search.backends.onnx.channels.tracked import Tracked

UNARY = tuple(
    "Relu LeakyRelu Elu Selu Celu ThresholdedRelu Sigmoid HardSigmoid HardSwish Tanh Softplus"
    " Softsign Gelu Erf Mish Swish Clip Abs Neg Exp Log Sqrt Reciprocal Floor Ceil Round Sign Sin"
    " Cos Identity Dropout Cast IsNaN IsInf Not".split()
)
BROADCASTING = tuple(
    "Add Sub Mul Div Pow Min Max Sum Mean PRelu Where Equal Greater GreaterOrEqual Less LessOrEqual"
    " And Or Xor".split()
)


def unary(trace: Trace, node: NodeProto) -> bool:
    """The output has the channels of the first input; the others are parameters."""
    if any(trace.of(name) for name in node.input[1:]):
        return False
    return trace.put(node.output[0], trace.of(node.input[0]))


def broadcasting(trace: Trace, node: NodeProto) -> bool:
    """Channels at the same place are the same. Shapes are aligned at the right."""
    after = trace.shape(node.output[0])
    shift = {name: len(after) - len(trace.shape(name)) for name in node.input}
    found = {
        name: Tracked(tuple(axis + shift[name] for axis in tracked.axes), tracked.atoms)
        for name in node.input
        if (tracked := trace.of(name))
    }
    first, *others = found.values()
    axes = set(first.axes)
    for other in others:
        if not axes & set(other.axes):
            return False
        axes |= set(other.axes)
    places = tuple(sorted(axes))
    sizes = tuple(after[axis] for axis in places)
    if any(t.atoms.shape != tuple(after[a] for a in t.axes) for t in found.values()):
        return False
    atoms = first.over(places, sizes)
    for other in others:
        trace.table.unite(atoms, other.over(places, sizes))
    result = Tracked(places, np.ascontiguousarray(atoms))
    for name in dict.fromkeys(node.input):
        for axis, size in enumerate(trace.shape(name), shift[name]):
            if size > 1 and not (name in found and axis in found[name].axes):
                # A tensor of the graph cannot shrink with the channels, a constant can.
                trace.slice(result, axis, name, axis - shift[name])
    return trace.put(node.output[0], result)
