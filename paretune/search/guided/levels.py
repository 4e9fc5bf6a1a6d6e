"""A parameter as a short list of values."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

MOST = 9
"""A range with more values is searched on a grid of so many."""


@dataclass(frozen=True)
class Levels:
    """The values that a parameter is tried at.

    Attributes:
        values: ascending, for numbers.
    """

    values: tuple[Any, ...]
    _ordered: bool

    @staticmethod
    def of(distribution: BaseDistribution) -> "Levels":
        """Those of a distribution."""
        if isinstance(distribution, CategoricalDistribution):
            return Levels(tuple(distribution.choices), _ordered=False)
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        low, high, step = distribution.low, distribution.high, distribution.step
        if step is not None and (count := round((high - low) / step) + 1) <= MOST:
            grid = [low + step * i for i in range(count)]
        else:
            space = np.geomspace if distribution.log else np.linspace
            grid = [float(v) for v in space(low, high, MOST)]
            if step is not None:
                grid = [low + step * round((value - low) / step) for value in grid]
        kind = int if isinstance(distribution, IntDistribution) else float
        values = tuple(dict.fromkeys(min(max(kind(v), low), high) for v in grid))
        return Levels(values, _ordered=True)

    def index(self, value: Hashable) -> int:
        """Of the level that is nearest to a value."""
        if not self._ordered:
            place = self.values.index(value)
            if type(self.values[place]) is type(value):
                return place
            # `1`, `1.0` and `True` are equal, and three.
            return next(
                i
                for i, known in enumerate(self.values)
                if (known == value and type(known) is type(value)) or known is value
            )
        gaps = np.abs(np.array(self.values, dtype=float) - float(value))  # type: ignore[arg-type]
        return int(gaps.argmin())
