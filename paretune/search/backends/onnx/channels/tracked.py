"""Where the channels of a tensor are."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from paretune.search.backends.onnx.channels.atoms import Atoms

_MOST_ATOMS = 2**22


@dataclass(frozen=True)
class Tracked:
    """The channels of a tensor and where they lie.

    Attributes:
        axes: of the tensor, ascending; more than one where a reshape has split the channels, as
            into heads and the channels of a head.
        atoms: of each channel, shape: the sizes of these axes.
    """

    axes: tuple[int, ...]
    atoms: Atoms

    def place(self, axis: int) -> int | None:
        """Which axis of `atoms` a tensor's axis is."""
        return self.axes.index(axis) if axis in self.axes else None

    def transposed(self, order: list[int]) -> "Tracked":
        """After the tensor's axes were permuted so that output axis i is input axis order[i]."""
        axes = [order.index(axis) for axis in self.axes]
        places = np.argsort(axes)
        return Tracked(tuple(axes[p] for p in places), self.atoms.transpose(places))

    def over(self, axes: tuple[int, ...], sizes: tuple[int, ...]) -> Atoms:
        """The atoms on more axes, the same along all that are added."""
        shape = [n if a in self.axes else 1 for a, n in zip(axes, sizes, strict=True)]
        return np.broadcast_to(self.atoms.reshape(shape), sizes)

    def simplified(self) -> "Tracked":
        """Without the axes along which nothing changes."""
        axes, atoms = list(self.axes), self.atoms
        for place in reversed(range(len(axes))):
            first = atoms.take([0], place)
            if (atoms == first).all() and len(axes) > 1:
                atoms = first.squeeze(place)
                del axes[place]
        return Tracked(tuple(axes), atoms)

    def reshaped(self, before: tuple[int, ...], after: tuple[int, ...]) -> "Tracked | None":
        """After a row-major reshape of the tensor, or None where that is too much to follow.

        The shapes are cut into the shortest stretches of equal size; within a stretch that holds
        channels, every element is given its atom.
        """
        held = [
            (old, new)
            for old, new in _stretches(before, after)
            if any(low in self.axes for low in old)
        ]
        old_axes = tuple(axis for old, _ in held for axis in old)
        new_axes = tuple(axis for _, new in held for axis in new)
        old_sizes = tuple(before[axis] for axis in old_axes)
        if not 0 < np.prod(old_sizes) <= _MOST_ATOMS:
            return None
        atoms = self.over(old_axes, old_sizes).reshape([after[axis] for axis in new_axes])
        return Tracked(new_axes, atoms)


def _stretches(before: tuple[int, ...], after: tuple[int, ...]) -> list[tuple[range, range]]:
    """Axes of both shapes, cut into the shortest stretches of equal size."""
    old, new = np.cumprod(before).tolist(), np.cumprod(after).tolist()
    cuts = [(old.index(size) + 1, new.index(size) + 1) for size in sorted({*old} & {*new})]
    return [(range(a, b), range(c, d)) for (a, c), (b, d) in pairwise([(0, 0), *cuts])]


@dataclass(frozen=True)
class Live:
    """A number that the graph itself computes: how long a tensor is along a channel axis."""

    tracked: Tracked
    axis: int


Size = int | Live | None
"""One number of a vector of sizes: as it is written, as it is computed, or unknown."""
