"""Channel groups: which channels of a graph are the same channel and can be removed together.

Every channel of every tensor is an atom. Operators that need two channels to agree (a residual add,
a depthwise convolution, a flatten into a Gemm) unite their atoms; operators that mix or count
channels in a way that removal would change freeze them. What is left are groups of layers whose
output channels are the same free atoms.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from paretune.search.backends.onnx.graph import Graph, attributes, reads
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.spaces import ChannelGroup

Atoms = NDArray[np.int64]

_UNARY = frozenset(
    "Relu LeakyRelu Elu Selu Celu Sigmoid HardSigmoid HardSwish Tanh Softplus Softsign Gelu Erf"
    " Mish Swish Clip Abs Neg Exp Log Sqrt Reciprocal Floor Ceil Round Sign Identity Dropout"
    " Cast".split()
)
_BINARY = frozenset("Add Sub Mul Div Pow Min Max PRelu".split())
_POOL = frozenset("GlobalAveragePool GlobalMaxPool MaxPool AveragePool LpPool".split())
_REDUCE = frozenset("ReduceMean ReduceSum ReduceMax ReduceMin ReduceL2".split())


@dataclass(frozen=True)
class Tracked:
    """The channel axis of a tensor and the atom of each channel, shape (channels,)."""

    axis: int
    atoms: Atoms


@dataclass(frozen=True)
class Slice:
    """A constant loses the entries along `axis` whose atoms are removed; `atoms` is (entries,)."""

    constant: str
    axis: int
    atoms: Atoms


@dataclass
class ChannelMap:
    """What removing channels means for one graph.

    Attributes:
        groups: the layers that can lose channels, in graph order.
        atoms: group name to the atoms of its channels, shape (size,).
        outputs: layer name to the atoms of its output channels, shape (out,).
        inputs: layer name to the atoms along the input axis of its weight, shape (in,).
        slices: every constant that shrinks with some atoms.
    """

    groups: list[ChannelGroup] = field(default_factory=list)
    atoms: dict[str, Atoms] = field(default_factory=dict)
    outputs: dict[str, Atoms] = field(default_factory=dict)
    inputs: dict[str, Atoms] = field(default_factory=dict)
    slices: list[Slice] = field(default_factory=list)


def map_channels(graph: Graph, layers: list[WeightedNode]) -> ChannelMap:
    """Follow the channels through the graph."""
    return _Tracer(graph, layers).run()


class _Tracer:
    def __init__(self, graph: Graph, layers: list[WeightedNode]) -> None:
        self.graph = graph
        self.layers = {layer.node.name: layer for layer in layers}
        self.parent: list[int] = []
        self.frozen: set[int] = set()
        self.tracked: dict[str, Tracked] = {}
        self.map = ChannelMap()

    def run(self) -> ChannelMap:
        for node in self.graph.nodes:
            if layer := self.layers.get(node.name):
                self._layer(layer)
            elif not self._follow(node):
                self._freeze_inputs(node)
        for name in self.graph.outputs:
            self._freeze(name)
        self._resolve()
        return self.map

    # Atoms

    def _fresh(self, count: int, *, frozen: bool = False) -> Atoms:
        start = len(self.parent)
        self.parent.extend(range(start, start + count))
        if frozen:
            self.frozen.update(range(start, start + count))
        return np.arange(start, start + count)

    def _root(self, atom: int) -> int:
        while self.parent[atom] != atom:
            self.parent[atom] = self.parent[self.parent[atom]]
            atom = self.parent[atom]
        return atom

    def _unite(self, left: Atoms, right: Atoms) -> None:
        for a, b in zip(left.tolist(), right.tolist(), strict=True):
            low, high = sorted((self._root(a), self._root(b)))
            self.parent[high] = low
            if high in self.frozen:
                self.frozen.add(low)

    def _freeze_atoms(self, atoms: Atoms) -> None:
        self.frozen.update(self._root(atom) for atom in atoms.tolist())

    def _freeze(self, tensor: str) -> None:
        if tensor in self.tracked:
            self._freeze_atoms(self.tracked[tensor].atoms)

    def _freeze_inputs(self, node: NodeProto) -> None:
        for name in reads(node):
            self._freeze(name)

    # Nodes that own weights

    def _layer(self, layer: WeightedNode) -> None:
        shape = layer.layer.weight_shape
        rank = len(self.graph.shapes.get(layer.data, ()))
        channel_axis = 1 if layer.layer.op_type.startswith("Conv") else rank - 1
        given = self.tracked.get(layer.data)
        shared = not all(self.graph.own(c) for c in (layer.weight, layer.bias) if c)
        mixes = (layer.group > 1 and not layer.depthwise) or shared
        if layer.layer.op_type == "Gather" or (given and given.axis != channel_axis) or mixes:
            self._freeze_inputs(layer.node)
            return
        if layer.depthwise:
            atoms = given.atoms if given else self._fresh(shape[0], frozen=True)
            self.map.slices.append(Slice(layer.weight, 0, atoms))
        else:
            ins = given.atoms if given else self._fresh(shape[layer.in_axis], frozen=True)
            atoms = self._fresh(shape[layer.out_axis])
            self.map.inputs[layer.name] = ins
            self.map.slices.append(Slice(layer.weight, layer.in_axis, ins))
            self.map.slices.append(Slice(layer.weight, layer.out_axis, atoms))
        if layer.bias:
            self.map.slices.append(Slice(layer.bias, 0, atoms))
        self.map.outputs[layer.name] = atoms
        out_rank = len(self.graph.shapes.get(layer.node.output[0], ()))
        out_axis = 1 if layer.layer.op_type.startswith("Conv") else out_rank - 1
        self.tracked[layer.node.output[0]] = Tracked(out_axis, atoms)

    # Other nodes: True when the channels could be followed

    def _follow(self, node: NodeProto) -> bool:
        if not any(name in self.tracked for name in reads(node)):
            return True
        if node.op_type == "Shape":
            return self._ignores_channels(node)
        if node.domain or any(a.HasField("g") for a in node.attribute):
            return False
        if node.op_type in _BINARY:
            return self._binary(node)
        if node.op_type == "Concat":
            return self._concat(node)
        given = self.tracked.get(node.input[0])
        if given is None or any(name in self.tracked for name in node.input[1:]):
            return False
        moved = self._moved(node, given)
        if moved is None or self._shape(node.output[0])[moved.axis] != len(moved.atoms):
            return False
        self.tracked[node.output[0]] = moved
        return True

    def _ignores_channels(self, shape: NodeProto) -> bool:
        """Whether all who read the sizes of a tracked tensor take those of other axes only."""
        given = self.tracked[shape.input[0]]
        rank = len(self._shape(shape.input[0]))
        values = attributes(shape)
        axes = np.arange(rank)[values.get("start", 0) : values.get("end", rank)]
        if given.axis not in axes:
            return True
        return shape.output[0] not in self.graph.outputs and all(
            reader.op_type == "Gather"
            and reader.input[1] in self.graph.constants
            and given.axis not in np.ravel(axes[self.graph.constants[reader.input[1]]])
            for reader in self.graph.consumers.get(shape.output[0], [])
        )

    def _moved(self, node: NodeProto, given: Tracked) -> Tracked | None:
        """Where the channel axis of the only tracked input is in the output."""
        before = self.graph.shapes.get(node.input[0], ())
        after = self.graph.shapes.get(node.output[0], ())
        values = attributes(node)
        axis = given.axis
        kind = node.op_type
        same_rank = len(before) == len(after)
        if kind in _UNARY or (kind in _POOL and axis == 1 and len(node.output) == 1):
            return given
        own = all(self.graph.own(name) for name in node.input[1:])
        if kind == "BatchNormalization" and axis == 1 and own:
            for name in node.input[1:5]:
                self.map.slices.append(Slice(name, 0, given.atoms))
            return given
        if kind in ("Softmax", "LogSoftmax") and values.get("axis", -1) % len(before) != axis:
            return given
        if kind == "Flatten" and values.get("axis", 1) == 1 and axis == 1:
            return Tracked(1, np.repeat(given.atoms, int(np.prod(before[2:]))))
        if kind == "Transpose":
            order = list(values.get("perm", range(len(before))[::-1]))
            return Tracked(order.index(axis), given.atoms)
        if kind in _REDUCE or kind in ("Squeeze", "Unsqueeze"):
            return self._reduced(node, given, len(before), len(after))
        fixed_counts = kind == "Resize" and len(node.input) > 3 and node.input[3]
        if kind in ("Pad", "Resize") and same_rank and not fixed_counts:
            return given if before[axis] == after[axis] else None
        return None

    def _reduced(self, node: NodeProto, given: Tracked, before: int, after: int) -> Tracked | None:
        axes = self.graph.constants.get(node.input[1]) if len(node.input) > 1 else None
        if axes is None:
            return None
        grown = node.op_type == "Unsqueeze"
        listed = {int(a) % (after if grown else before) for a in axes.reshape(-1)}
        if grown:
            return Tracked([a for a in range(after) if a not in listed][given.axis], given.atoms)
        if given.axis in listed:
            return None
        if before == after:
            return given
        return Tracked(given.axis - sum(a < given.axis for a in listed), given.atoms)

    def _binary(self, node: NodeProto) -> bool:
        rank = len(self.graph.shapes.get(node.output[0], ()))
        operands = [(name, self._shape(name)) for name in node.input]
        # Broadcasting aligns shapes at the right.
        found = [
            (t.axis + rank - len(shape), t.atoms)
            for name, shape in operands
            if (t := self.tracked.get(name))
        ]
        axis, atoms = found[0]
        if any(a != axis or len(other) != len(atoms) for a, other in found):
            return False
        slices = []
        for name, shape in operands:
            own = axis - (rank - len(shape))
            if name in self.tracked or own < 0 or shape[own] == 1:
                continue
            if not self.graph.own(name) or shape[own] != len(atoms):
                return False
            slices.append(Slice(name, own, atoms))
        for _, other in found[1:]:
            self._unite(atoms, other)
        self.map.slices.extend(slices)
        self.tracked[node.output[0]] = Tracked(axis, atoms)
        return True

    def _concat(self, node: NodeProto) -> bool:
        rank = len(self.graph.shapes.get(node.output[0], ()))
        at = attributes(node)["axis"] % rank
        parts = [(self.tracked.get(name), self._shape(name)) for name in node.input]
        if any(name in self.graph.constants for name in node.input):
            return False
        axes = {part.axis for part, _ in parts if part}
        if axes != {at}:
            return False
        atoms = [p.atoms if p else self._fresh(s[at], frozen=True) for p, s in parts]
        self.tracked[node.output[0]] = Tracked(at, np.concatenate(atoms))
        return True

    def _shape(self, name: str) -> tuple[int, ...]:
        constant = self.graph.constants.get(name)
        return constant.shape if constant is not None else self.graph.shapes.get(name, ())

    # Groups

    def _resolve(self) -> None:
        """Name every atom by its root and find the groups of layers that share free roots."""
        root = np.array([self._root(atom) for atom in range(len(self.parent))], dtype=np.int64)
        frozen = {int(root[atom]) for atom in self.frozen}
        result = self.map
        result.outputs = {name: root[atoms] for name, atoms in result.outputs.items()}
        result.inputs = {name: root[atoms] for name, atoms in result.inputs.items()}
        result.slices = [Slice(s.constant, s.axis, root[s.atoms]) for s in result.slices]
        members: dict[frozenset[int], list[str]] = {}
        for name, atoms in result.outputs.items():
            members.setdefault(frozenset(atoms.tolist()), []).append(name)
        owners = Counter(atom for shared in members for atom in shared)
        for shared, names in members.items():
            # Layers that share only some of their channels, or a channel with itself, stay whole.
            whole = all(len(result.outputs[name]) == len(shared) for name in names)
            if whole and not shared & frozen and all(owners[atom] == 1 for atom in shared):
                result.groups.append(ChannelGroup(names[0], tuple(names), len(shared)))
                result.atoms[names[0]] = result.outputs[names[0]]
