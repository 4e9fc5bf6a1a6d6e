"""Removal: which entries of which constants are left when a policy takes channels away."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from paretune.search.backends.onnx.channels import Atoms, ChannelMap, Slice
from paretune.search.backends.onnx.graph import Array
from paretune.spaces import Channel, Policy


@dataclass(frozen=True)
class Removal:
    """The atoms that go, and what each constant keeps.

    Attributes:
        gone: the removed atoms.
        slices: constant name to the axes that may shrink.
    """

    gone: Atoms
    slices: Mapping[str, list[Slice]]

    @staticmethod
    def of(policy: Policy, channels: ChannelMap, order: Mapping[str, Atoms]) -> "Removal":
        """Take the least important channels of every group.

        Args:
            policy: canonical, so its amounts are whole numbers of channels.
            channels: of the graph.
            order: group name to its atoms, most important first.
        """
        gone = [np.empty(0, np.int64)]
        for group in channels.groups:
            sparsity = policy[group.name].sparsity
            if isinstance(sparsity, Channel):
                gone.append(order[group.name][round(group.size * (1 - sparsity.amount)) :])
        slices: dict[str, list[Slice]] = {}
        for one in channels.slices:
            slices.setdefault(one.constant, []).append(one)
        return Removal(np.concatenate(gone), slices)

    def touches(self, constant: str) -> bool:
        """Whether the constant loses anything."""
        return any(len(kept) < len(s.atoms) for s, kept in self._kept.get(constant, []))

    def cut(self, constant: str, array: Array) -> Array:
        """What is left of the constant."""
        for part, kept in self._kept.get(constant, []):
            if len(kept) < len(part.atoms):
                array = np.take(array, kept, axis=part.axis)
        return array

    def kept(self, constant: str, axis: int, size: int) -> Atoms:
        """Indices that stay along an axis of `size` entries."""
        for part, kept in self._kept.get(constant, []):
            if part.axis == axis:
                return kept
        return np.arange(size)

    def key(self, constant: str) -> str:
        """Text that differs whenever the constant keeps something else; empty if it keeps all."""
        if not self.touches(constant):
            return ""
        digest = hashlib.sha256()
        for part, kept in self._kept[constant]:
            digest.update(f"{part.axis}:".encode() + kept.tobytes())
        return "-" + digest.hexdigest()[:16]

    @cached_property
    def _kept(self) -> dict[str, list[tuple[Slice, Atoms]]]:
        return {
            name: [(s, np.flatnonzero(~np.isin(s.atoms, self.gone))) for s in parts]
            for name, parts in self.slices.items()
        }
