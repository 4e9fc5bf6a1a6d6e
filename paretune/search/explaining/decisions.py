"""Decisions: what a study's policies differ in, read off the policies themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretune.spaces import Channel, Choice, Drop, Policy, Precision

Indices = NDArray[np.int64]

BLOCK, PRECISION, SPARSITY, CHANNELS = "block", "precision", "sparsity", "channels"
_EXCLUSIVE = ({SPARSITY, CHANNELS}, {BLOCK, PRECISION}, {BLOCK, SPARSITY}, {BLOCK, CHANNELS})
_OPEN = -1
_ALONE = {BLOCK: "keep", PRECISION: "fp32", SPARSITY: "dense", CHANNELS: "0"}


@dataclass(frozen=True)
class Decision:
    """One thing that policies decide, for a layer or for layers that always agree.

    Attributes:
        kind: `precision`, `sparsity`, `channels` or `block`.
        layers: that it is about, in graph order.
        options: spelled as in a policy. The first leaves the layers alone; where no policy did
            that, it is the least that was seen.
    """

    kind: str
    layers: tuple[str, ...]
    options: tuple[str, ...]

    @property
    def name(self) -> str:
        """Unique, such as `precision/conv1`; the name of the space's knob."""
        return f"{self.kind}/{self.layers[0]}"

    @property
    def alone(self) -> bool:
        """Whether the first option leaves the layers alone."""
        return self.options[0] == _ALONE[self.kind]

    def excludes(self, other: "Decision") -> bool:
        """Whether one of the two means nothing once the other does not leave a layer alone.

        A layer that is dropped has no precision; one that loses channels has no other sparsity.
        """
        kinds = {self.kind, other.kind}
        return kinds in _EXCLUSIVE and not set(self.layers).isdisjoint(other.layers)


@dataclass(frozen=True)
class Design:
    """Policies as numbers.

    Attributes:
        decisions: in graph order.
        x: the option that each policy took, shape (policies, decisions).
        fixed: layers that all policies treat alike.
    """

    decisions: tuple[Decision, ...]
    x: Indices
    fixed: tuple[str, ...]


def design(policies: Sequence[Policy]) -> Design:
    """What differs between policies.

    Layers that make one decision together in all policies, as a channel group does, or that the
    policies do not tell apart, are one decision: no data could say whose effect it is.

    Args:
        policies: of the same layers, at least one.
    """
    found: list[Decision] = []
    rows: list[Indices] = []
    varied = set()
    for layer, _ in policies[0]:
        settings = [_settings(policy[layer]) for policy in policies]
        for kind in (BLOCK, PRECISION, SPARSITY, CHANNELS):
            seen = [setting.get(kind) for setting in settings]
            options = _ordered(kind, {value for value in seen if value is not None})
            if len(options) < 2:
                continue
            varied.add(layer)
            row = np.array([_OPEN if s is None else options.index(s) for s in seen])
            same = (i for i, one in enumerate(found) if one.kind == kind and _agree(rows[i], row))
            if (i := next(same, None)) is None:
                found.append(Decision(kind, (layer,), options))
                rows.append(row)
            else:
                joined = _joined(found[i].options, options)
                found[i] = Decision(kind, (*found[i].layers, layer), joined)
                rows[i] = np.maximum(rows[i], row)
    fixed = tuple(layer for layer, _ in policies[0] if layer not in varied)
    x = np.array(rows, dtype=np.int64).reshape(len(rows), len(policies)).T
    return Design(tuple(found), np.maximum(x, 0), fixed)


def _agree(first: Indices, second: Indices) -> bool:
    """Whether two layers decided alike wherever both had a say, and had one in something."""
    both = (first != _OPEN) & (second != _OPEN)
    alike = first[both]
    covered = (
        {*alike.tolist()}
        == {*first[first != _OPEN].tolist()}
        == {*second[second != _OPEN].tolist()}
    )
    return covered and bool((alike == second[both]).all())


def _settings(choice: Choice) -> Mapping[str, str]:
    """Kind of decision to what was decided; what the choice leaves open is missing."""
    if isinstance(choice.sparsity, Drop):
        return {BLOCK: "drop"}
    settings = {BLOCK: _ALONE[BLOCK], PRECISION: str(choice.precision)}
    if isinstance(choice.sparsity, Channel):
        return settings | {CHANNELS: f"{choice.sparsity.amount:g}"}
    return settings | {SPARSITY: str(choice.sparsity), CHANNELS: _ALONE[CHANNELS]}


def _ordered(kind: str, options: set[str]) -> tuple[str, ...]:
    """The one that leaves the layer alone first, then Paretune's own order, then by name."""
    own = [*Precision.USUAL, *Precision.OTHERS]

    def place(option: str) -> tuple[bool, int, float, str]:
        rank = own.index(Precision(option)) if option in own else len(own)
        amount = float(option) if kind == CHANNELS else 0.0
        return option != _ALONE[kind], rank, amount, option

    return tuple(sorted(options, key=place))


def _joined(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    pairs = zip(first, second, strict=True)
    return tuple(a if b in a.split(" or ") else f"{a} or {b}" for a, b in pairs)
