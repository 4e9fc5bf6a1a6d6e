"""The state while channels are followed through a graph."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from onnx import NodeProto

from paretune.search.backends.onnx.channels.atoms import Atoms, AtomTable
from paretune.search.backends.onnx.channels.channel_map import ChannelMap, Count, Slice
from paretune.search.backends.onnx.channels.tracked import Live, Size, Tracked
from paretune.search.backends.onnx.graph import Graph, reads

Effect = Callable[[Atoms], None]
"""Takes the atoms along the axis that shrinks."""


@dataclass(frozen=True)
class _Claim:
    """What happens if a tensor shrinks along one of its channel axes; without effect, it may not.

    Attributes:
        atoms: of the tensor.
        place: the axis of `atoms`.
    """

    atoms: Atoms
    place: int
    effect: Effect | None


@dataclass(frozen=True)
class Vector:
    """Where the number `now` is: an entry of the vector that a node reads as an input."""

    node: str
    input: int
    entry: int
    now: int


class Trace:
    """Which tensors have channels, which of them are the same, and what depends on them.

    A tensor can shrink along one axis only. Which of several that is turns out when the whole graph
    was seen, so operators state what they need of each as a claim, and `settle` judges them.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.table = AtomTable()
        self.map = ChannelMap()
        self.sizes: dict[str, list[Size]] = {}
        """Name of a computed vector to what is known of its numbers."""
        self._tracked: dict[str, Tracked] = {}
        self._claims: list[_Claim] = []
        self._shares: list[tuple[Atoms, Atoms]] = []

    def of(self, tensor: str) -> Tracked | None:
        return self._tracked.get(tensor)

    def shape(self, tensor: str) -> tuple[int, ...]:
        constant = self.graph.constants.get(tensor)
        return constant.shape if constant is not None else self.graph.shapes.get(tensor, ())

    def put(self, tensor: str, found: Tracked | None) -> bool:
        """Say where the channels of a tensor are; False where that cannot be."""
        shape = self.shape(tensor)
        if found is None or any(a >= len(shape) for a in found.axes):
            return False
        if tuple(shape[a] for a in found.axes) != found.atoms.shape:
            return False
        self._tracked[tensor] = found.simplified()
        return True

    def freeze(self, node: NodeProto) -> None:
        """Keep all channels that a node reads."""
        for name in reads(node):
            if found := self.of(name):
                self.table.freeze(found.atoms)

    def claim(self, found: Tracked, axis: int, effect: Effect | None) -> None:
        """Let `effect` follow if the tensor shrinks along `axis`; None forbids it.

        An axis without channels never shrinks.
        """
        place = found.place(axis)
        if place is not None:
            self._claims.append(_Claim(found.atoms, place, effect))

    def slice(self, found: Tracked, axis: int, constant: str, own: int) -> None:
        """Let a constant shrink along its axis `own` with a tensor's `axis`."""
        sole = self.graph.own(constant)

        def follow(atoms: Atoms) -> None:
            self.map.slices.append(Slice(constant, own, atoms))

        self.claim(found, axis, follow if sole else None)

    def count(self, found: Tracked, axis: int, counted: range, vector: Vector) -> None:
        """Let one number of a vector say how many of the channels `counted` of `axis` are left."""

        def follow(atoms: Atoms) -> None:
            own = atoms[counted.start : counted.stop]
            count = Count(vector.node, vector.input, vector.entry, vector.now, own)
            self.map.counts.append(count)

        self.claim(found, axis, follow)

    def match(self, found: Tracked, axis: int, live: Live) -> None:
        """Demand that an axis loses the channels that another one loses."""

        def as_other(other: Tracked, place: int | None) -> Effect:
            def follow(atoms: Atoms) -> None:
                loose = _loose(self.table.roots(other.atoms))
                same = loose and loose[0] == place and sorted(loose[1]) == sorted(atoms)
                if not same:
                    self.table.freeze(atoms)

            return follow

        place = live.tracked.place(live.axis)
        self.claim(found, axis, as_other(live.tracked, place))
        self.claim(live.tracked, live.axis, as_other(found, found.place(axis)))

    def share(self, part: Atoms, whole: Atoms) -> None:
        """Demand that a part of a tensor has every channel that the whole has, equally often.

        Otherwise removal could leave nothing of the part.
        """
        self._shares.append((part, whole))

    def settle(self) -> None:
        """Judge the claims: freeze what cannot shrink, and note what shrinks with what."""
        for found in self._tracked.values():
            if _loose(self.table.roots(found.atoms)) is None:
                self.table.freeze(found.atoms)
        for claim in self._claims:
            loose = _loose(self.table.roots(claim.atoms))
            if loose is None or loose[0] != claim.place:
                continue
            if claim.effect is None:
                self.table.freeze(claim.atoms)
            else:
                claim.effect(loose[1])
        for part, whole in self._shares:
            if not _proportional(self.table.roots(part), self.table.roots(whole)):
                self.table.freeze(whole)


def _loose(roots: Atoms) -> tuple[int, Atoms] | None:
    """The axis that can shrink, and its atoms: along all others, nothing changes."""
    for place in range(roots.ndim):
        lines = np.moveaxis(roots, place, 0).reshape(roots.shape[place], -1)
        if (lines == lines[:, :1]).all():
            return place, lines[:, 0]
    return None


def _proportional(part: Atoms, whole: Atoms) -> bool:
    names, often = np.unique(part, return_counts=True)
    all_names, all_often = np.unique(whole, return_counts=True)
    same = np.array_equal(names, all_names)
    return same and bool((often * whole.size == all_often * part.size).all())
