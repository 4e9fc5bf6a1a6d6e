"""The prior of the surrogate: how alike policies are in what they measure."""

from dataclasses import dataclass

import numpy as np

from paretune.search.guided.arrays import Floats
from paretune.search.guided.features import Features

_REACH = 3.0
"""Of what depends on all knobs: how fast policies become strangers as they differ."""

_NOTHING = 1e-4
"""Columns with such a share of the largest variance would only take time."""


@dataclass(frozen=True)
class Variances:
    """Of the parts of the prior.

    Attributes:
        groups: of each group of columns, shape (groups,).
        siblings: trials' worth of belief that a group is like the others of its family.
        constant: of the level.
        products: of the products of any two knobs.
        whole: of what depends on all knobs at once.
        noise: of an observation.
    """

    groups: Floats
    siblings: float = 2.0
    constant: float = 1.0
    products: float = 0.1
    whole: float = 0.05
    noise: float = 0.05


class Kernel:
    """The prior covariance between policies."""

    def __init__(self, features: Features, variances: Variances) -> None:
        self.features = features
        self.variances = variances
        self.column = variances.groups[features.group]
        spread = self.column * features.scale**2
        self.active = np.flatnonzero(spread > _NOTHING * spread.max())
        # The columns of the knobs' own options, each weighed by how much its knob matters.
        matter = np.add.reduceat(spread[features.options], features.starts) / features.sizes
        for knob, column in features.strengths.items():
            matter[knob] += self.column[column] * features.bend[features.structure.kinds[knob]]
        for clue, column, knobs in zip(
            features.structure.clues, features.clued, features.clued_knobs, strict=True
        ):
            matter += spread[column] * clue.variances
            own = list(knobs)
            matter[own] += spread[list(knobs.values())] * clue.variances[own]
        matter = (matter + 1e-9) / (matter + 1e-9).sum()
        self._root = np.sqrt(np.repeat(matter, features.sizes))
        self._plain = self._root / features.scale[features.options] ** 2

    def others(self, a: Floats, b: Floats) -> tuple[Floats, Floats]:
        """The parts that are not linear in the columns, at variance 1.

        Two knobs interact the more, the more their options do alone; so agreement on them counts
        for the products in proportion.
        """
        a, b = a[:, self.features.options], b[:, self.features.options]
        right = (b * self._root).T
        alike = (a * self._root) @ right
        equal = (a * self._plain) @ right
        whole: Floats = np.exp(_REACH * (equal - 1))
        return alike**2, whole

    def level(self, phi: Floats) -> Floats:
        """The prior variance of each policy."""
        v = self.variances
        products = ((phi[:, self.features.options] * self._root) ** 2).sum(axis=1) ** 2
        linear = (phi[:, self.active] ** 2) @ self.column[self.active]
        found: Floats = linear + v.constant + v.products * products + v.whole
        return found

    def linear(self, a: Floats, b: Floats) -> Floats:
        """The part that is linear in the columns."""
        found: Floats = (a[:, self.active] * self.column[self.active]) @ b[:, self.active].T
        return found

    def rest(self, a: Floats, b: Floats) -> Floats:
        """All other parts."""
        products, whole = self.others(a, b)
        v = self.variances
        total: Floats = v.constant + v.products * products + v.whole * whole
        return total

    def __call__(self, a: Floats, b: Floats) -> Floats:
        return self.linear(a, b) + self.rest(a, b)
