"""Clues: figures of every option that are known before any trial, and may tell objectives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from paretune.search.guided.arrays import Floats

Clues = Mapping[str, Mapping[str, Sequence[float]]]
"""Name of a clue to a parameter's name to a figure for each of its values, in their order."""


@dataclass(frozen=True)
class Clue:
    """One figure of all options, such as the error that they cause in the output of their layer.

    Attributes:
        family: clues of one family are expected to be equally telling.
        tables: of each knob, relative to its first option, shape (options,). The sum over the
            knobs has variance 1 over all policies.
    """

    family: str
    tables: tuple[Floats, ...]

    @staticmethod
    def of(
        name: str, told: Mapping[str, Sequence[float]], options: Mapping[str, Sequence[object]]
    ) -> "Clue":
        """Read what a sampler was given.

        Args:
            name: `FAMILY/DETAIL`, or a family of its own.
            told: parameters that it says nothing of are left out.
            options: of each parameter.

        Raises:
            ValueError: there is not one finite figure for each option.
        """
        tables = []
        for knob, values in options.items():
            figures = np.array(told.get(knob, np.zeros(len(values))), dtype=float)
            if figures.shape != (len(values),) or not np.isfinite(figures).all():
                raise ValueError(
                    f"clue '{name}': '{knob}' has {len(values)} values, which need as many finite"
                    f" figures, but got {figures.tolist()}"
                )
            tables.append(figures - figures[0])
        spread = float(np.sqrt(sum(table.var() for table in tables)))
        return Clue(name.partition("/")[0], tuple(table / (spread or 1.0) for table in tables))

    @cached_property
    def variances(self) -> Floats:
        """Over the options of each knob, shape (knobs,)."""
        return np.array([table.var() for table in self.tables])

    @property
    def tells(self) -> bool:
        """Whether any options differ in it."""
        return any(table.any() for table in self.tables)
