"""Which channels may be divided by a number and multiplied by it again where they are read.

Whatever writes channels gives each an atom: a layer, a normalization, a factor for each channel.
Operators with f(x / s) = f(x) / s for s > 0 pass atoms on; a sum unites those of its terms. An atom
that meets any other operator, or leaves the graph, is united with atom 0, whose scale is 1.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from onnx import NodeProto

from paretune.search.backends.onnx.channels.atoms import AtomTable
from paretune.search.backends.onnx.graph import Graph, attributes, reads
from paretune.search.backends.onnx.homogeneous import compressed, passed_on
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.rescaling import Scaled, ScaleMap
from paretune.search.backends.onnx.solvers.scaling import Atoms

_CHANNELS_LAST = frozenset({"LayerNormalization", "RMSNormalization"})
_CHANNELS_FIRST = frozenset({"InstanceNormalization", "GroupNormalization"})
_FIXED = np.zeros((), np.int64)


def map_scales(graph: Graph, layers: Iterable[WeightedNode]) -> ScaleMap:
    """Follow the scales of channels through a clean graph."""
    return _Tracer(graph, layers).run()


class _Tracer:
    def __init__(self, graph: Graph, layers: Iterable[WeightedNode]) -> None:
        self.graph = graph
        self.layers = {layer.node.name: layer for layer in layers}
        self.table = AtomTable()
        self.all = [self.table.fresh((1,))]
        self.atoms: dict[str, Atoms] = {}
        self.constants: list[Scaled] = []

    def run(self) -> ScaleMap:
        for node in self.graph.nodes:
            if layer := self.layers.get(node.name):
                followed = self._layer(layer)
            else:
                followed = self._follow(node)
            if not followed:
                self._fix(reads(node))
        self._fix(self.graph.outputs)
        # A set's number is that of its lowest atom, so that 0 stays 0.
        roots = self.table.roots(np.concatenate(self.all))
        number = np.unique(roots, return_inverse=True)[1]
        constants = (
            replace(one, inputs=number[one.inputs], outputs=number[one.outputs])
            for one in self.constants
        )
        return ScaleMap(int(number.max()) + 1, tuple(constants))

    # Atoms

    def _fresh(self, count: int) -> Atoms:
        self.all.append(self.table.fresh((count,)))
        return self.all[-1]

    def _fix(self, tensors: Iterable[str]) -> None:
        for name in tensors:
            if name in self.atoms:
                self.table.unite(self.atoms[name], _FIXED)

    def _of(self, tensor: str) -> Atoms:
        return self.atoms.get(tensor, np.zeros((1,) * len(self._shape(tensor)), np.int64))

    def _put(self, tensor: str, atoms: Atoms) -> None:
        """Atoms aligned at the right, as broadcasting does."""
        missing = len(self._shape(tensor)) - atoms.ndim
        self.atoms[tensor] = atoms.reshape((1,) * missing + atoms.shape)

    def _put_along(self, tensor: str, axis: int, atoms: Atoms) -> None:
        self._put(tensor, atoms.reshape(-1, *[1] * (len(self._shape(tensor)) - 1 - axis)))

    # Constants

    def _shape(self, name: str) -> tuple[int, ...]:
        constant = self.graph.constants.get(name)
        return constant.shape if constant is not None else self.graph.shapes[name]

    def _may_change(self, constant: str) -> bool:
        known = self.graph.constants
        return self.graph.own(constant) and known[constant].dtype == np.float32

    def _fitted(self, atoms: Atoms, constant: str) -> Atoms | None:
        """Those of a constant's entries; None if one entry meets several, or may not change."""
        shape = self._shape(constant)
        lined = atoms.reshape((1,) * max(0, len(shape) - atoms.ndim) + atoms.shape)
        lead = lined.ndim - len(shape)
        fits = all(size == 1 for size in lined.shape[:lead]) and all(
            size in (1, own) for size, own in zip(lined.shape[lead:], shape, strict=True)
        )
        if not fits or not self._may_change(constant):
            return None
        return lined.reshape(lined.shape[lead:])

    # Nodes: True where the scales of all that they read could be followed

    def _layer(self, layer: WeightedNode) -> bool:
        kind, shape, target = layer.layer.op_type, layer.layer.weight_shape, layer.node.output[0]
        if not all(self._may_change(name) for name in (layer.weight, layer.bias) if name):
            return False
        convolves = kind.startswith("Conv")
        # A table is read by indices, which have no scale.
        data = self._of(layer.data) if kind != "Gather" else np.zeros(1, np.int64)
        followed = bool(data.size == data.shape[1 if convolves else -1])
        given = data.reshape(-1) if followed else _FIXED
        size = shape[1] * layer.group if kind != "Conv" else shape[0]
        made = self._fresh(size)
        inputs, outputs = given.reshape(-1, 1), made.reshape(1, -1)
        if kind == "Conv":
            inputs, outputs = _of_groups(given, layer.group, size, shape[1]), made.reshape(-1, 1)
        elif kind == "ConvTranspose":
            outputs = _of_groups(made, layer.group, shape[0], shape[1])
        kernel = (1,) * (len(shape) - 2)
        inputs = inputs.reshape(*inputs.shape, *kernel)
        outputs = outputs.reshape(*outputs.shape, *kernel)
        self.constants.append(Scaled(layer.weight, "weight", inputs, outputs, layer))
        if layer.bias:
            self.constants.append(Scaled(layer.bias, "shift", _FIXED, made))
        self._put_along(target, 1 if convolves else len(self._shape(target)) - 1, made)
        return followed

    def _follow(self, node: NodeProto) -> bool:
        kind = node.op_type
        if node.domain or any(a.HasField("g") for a in node.attribute):
            return False
        if kind in ("Shape", "Size"):
            return True
        if kind in _CHANNELS_FIRST | _CHANNELS_LAST:
            return self._normalization(node)
        if kind in ("Mul", "Div") and len(node.input) == 2:
            return self._product(node)
        tracked = [name for name in node.input if name in self.atoms]
        if not tracked:
            return True
        if kind in ("Add", "Sub", "Sum", "Max", "Min"):
            return self._sum(node)
        if kind == "MatMul":
            return self._mixed(node, tracked)
        if kind == "Concat":
            return self._concat(node)
        if tracked != node.input[:1]:
            return False
        moved = passed_on(self.graph, node, self.atoms[tracked[0]])
        self.atoms.update(zip(node.output, moved, strict=False))
        return bool(moved)

    def _normalization(self, node: NodeProto) -> bool:
        """What it reads keeps its scale; what it writes has the scales of its constants."""
        shape = self._shape(node.output[0])
        axis = 1 if node.op_type in _CHANNELS_FIRST else len(shape) - 1
        last = attributes(node).get("axis", -1) % len(shape) == axis
        own = [name for name in node.input[1:] if name]
        fits = all(self._may_change(c) and self._shape(c) == (shape[axis],) for c in own)
        if own and fits and (last or axis == 1):
            made = self._fresh(shape[axis])
            self.constants.append(Scaled(own[0], "gain", _FIXED, made))
            self.constants.extend(Scaled(name, "shift", _FIXED, made) for name in own[1:])
            self._put_along(node.output[0], axis, made)
        return False

    def _product(self, node: NodeProto) -> bool:
        """A constant of one entry a channel gives every channel an atom of its own."""
        left, right = node.input
        divides = node.op_type == "Div"
        if left in self.graph.constants and not divides:
            left, right = right, left
        if right in self.atoms and (divides or left in self.atoms):
            return False
        if right in self.atoms:
            left, right = right, left
        given = self._of(left)
        shape = self._shape(right)
        long = [axis for axis, size in enumerate(shape) if size > 1]
        fitted = self._fitted(given, right) if right in self.graph.constants else None
        if fitted is not None and len(long) == 1 and left not in self.graph.constants:
            made = self._fresh(shape[long[0]]).reshape(-1, *[1] * (len(shape) - 1 - long[0]))
            first, second = (made, fitted) if divides else (fitted, made)
            self.constants.append(Scaled(right, "gain", first, second))
            self._put(node.output[0], made)
        elif left in self.atoms:
            self._put(node.output[0], given)
        return True

    def _sum(self, node: NodeProto) -> bool:
        terms = [name for name in node.input if name not in self.graph.constants]
        joint = self._of(terms[0])
        for name in terms[1:]:
            other = self._of(name)
            self.table.unite(joint, other)
            joint = np.broadcast_arrays(joint, other)[0]
        shifts = {c: self._fitted(joint, c) for c in node.input if c in self.graph.constants}
        for name, atoms in shifts.items():
            if atoms is None:
                return False
            self.constants.append(Scaled(name, "shift", _FIXED, atoms))
        self._put(node.output[0], joint)
        return True

    def _mixed(self, node: NodeProto, tracked: Sequence[str]) -> bool:
        """A product of two tensors: one has scale 1, the other the same along what is summed."""
        if len(tracked) > 1 or min(len(self._shape(name)) for name in node.input) < 2:
            return False
        given = self.atoms[tracked[0]]
        if given.shape[-1 if tracked[0] == node.input[0] else -2] > 1:
            return False
        self._put(node.output[0], given)
        return True

    def _concat(self, node: NodeProto) -> bool:
        axis = attributes(node)["axis"] % len(self._shape(node.output[0]))
        parts = [self._of(name) for name in node.input]
        common = np.max([part.shape for part in parts], axis=0).tolist()
        wide = []
        for name, part in zip(node.input, parts, strict=True):
            common[axis] = self._shape(name)[axis]
            wide.append(np.broadcast_to(part, common))
        self.atoms[node.output[0]] = compressed(np.concatenate(wide, axis))
        return True


def _of_groups(channels: Atoms, groups: int, rows: int, columns: int) -> Atoms:
    """The atoms of a convolution weight's entries whose second axis counts within a group.

    Args:
        channels: of all groups, shape (groups · columns,), or one for all, shape () or (1,).

    Returns:
        shape (rows, columns), or (1, columns) where there is one group.
    """
    split = np.broadcast_to(channels, (groups * columns,)).reshape(groups, columns)
    return split if groups == 1 else split.repeat(rows // groups, axis=0)
