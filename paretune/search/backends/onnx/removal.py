"""Removal: which entries of which constants are left when a policy takes channels away."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from paretune.search.backends.onnx.channels import Atoms, ChannelMap, Count, Slice
from paretune.search.backends.onnx.graph import Array
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.matrices import columns_of
from paretune.spaces import Channel, Drop, Policy


@dataclass(frozen=True)
class Removal:
    """The atoms that go, and what each constant keeps.

    Attributes:
        gone: the removed atoms.
        slices: constant name to the axes that may shrink.
        counted: node name to the numbers that it reads which count channels.
    """

    gone: Atoms
    slices: Mapping[str, list[Slice]]
    counted: Mapping[str, list[Count]] = field(default_factory=dict)

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
            # Layers that are dropped have no say in what the others lose.
            choices = (policy[name].sparsity for name in group.layers)
            sparsity = next((s for s in choices if not isinstance(s, Drop)), None)
            if isinstance(sparsity, Channel):
                units = round(group.size * (1 - sparsity.amount) / group.unit)
                gone.append(order[group.name][units:])
        slices: dict[str, list[Slice]] = {}
        for one in channels.slices:
            slices.setdefault(one.constant, []).append(one)
        counted: dict[str, list[Count]] = {}
        for count in channels.counts:
            counted.setdefault(count.node, []).append(count)
        return Removal(np.concatenate(gone), slices, counted)

    def touches(self, constant: str) -> bool:
        """Whether the constant loses anything."""
        return any(len(kept) < len(s.atoms) for s, kept in self._kept.get(constant, []))

    def cut(self, constant: str, array: Array, axis: int | None = None) -> Array:
        """What is left of the constant; only `axis` is cut if one is given."""
        for part, kept in self._kept.get(constant, []):
            if len(kept) < len(part.atoms) and axis in (None, part.axis):
                array = np.take(array, kept, axis=part.axis)
        return array

    def kept(self, constant: str, axis: int, size: int) -> Atoms:
        """Indices that stay along an axis of `size` entries."""
        for part, kept in self._kept.get(constant, []):
            if part.axis == axis:
                return kept
        return np.arange(size)

    def counts(self, node: str) -> dict[int, dict[int, int]]:
        """What changes in the vectors that a node reads: its input to entry to what is added."""
        changed: dict[int, dict[int, int]] = {}
        for count in self.counted.get(node, []):
            lost = int(np.isin(count.atoms, self.gone).sum())
            if lost:
                left = len(count.atoms) - lost
                changed.setdefault(count.input, {})[count.entry] = left - count.now
        return changed

    def shape(self, layer: WeightedNode) -> tuple[int, ...]:
        """Of what is left of the layer's weight."""
        sizes = enumerate(layer.layer.weight_shape)
        return tuple(len(self.kept(layer.weight, axis, size)) for axis, size in sizes)

    def columns(self, layer: WeightedNode) -> Atoms:
        """Those of the layer's matrix whose inputs stay; all for a depthwise convolution."""
        shape = layer.layer.weight_shape
        inputs = shape[layer.in_axis]
        starts = np.arange(0, columns_of(layer, shape), inputs)
        found: Atoms = (starts[:, None] + self.kept(layer.weight, layer.in_axis, inputs)).ravel()
        return found

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
