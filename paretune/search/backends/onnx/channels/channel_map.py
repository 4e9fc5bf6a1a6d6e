"""What removing channels means for one graph."""

from dataclasses import dataclass, field

from paretune.search.backends.onnx.channels.atoms import Atoms
from paretune.spaces import ChannelGroup


@dataclass(frozen=True)
class Slice:
    """A constant loses the entries along `axis` whose atoms are removed; `atoms` is (entries,)."""

    constant: str
    axis: int
    atoms: Atoms


@dataclass(frozen=True)
class Count:
    """One number in the integer vector that a node reads says how many of `atoms` are left.

    Attributes:
        node: name of the node.
        input: which of its inputs is the vector.
        entry: which number of the vector.
        now: the number; not always the count itself, as where 0 means that of the input.
        atoms: shape (number,).
    """

    node: str
    input: int
    entry: int
    now: int
    atoms: Atoms


@dataclass
class ChannelMap:
    """What removing channels means for one graph.

    Attributes:
        groups: the layers that can lose channels, in graph order.
        atoms: group name to its atoms, one a unit, shape (size / unit,).
        outputs: layer name to the atoms of its output channels, shape (out,).
        inputs: layer name to the atoms along the input axis of its weight, shape (in,).
        slices: every constant that shrinks with some atoms.
        counts: every number in the graph that is a count of channels.
    """

    groups: list[ChannelGroup] = field(default_factory=list)
    atoms: dict[str, Atoms] = field(default_factory=dict)
    outputs: dict[str, Atoms] = field(default_factory=dict)
    inputs: dict[str, Atoms] = field(default_factory=dict)
    slices: list[Slice] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)
