"""A constraint: a bound on a metric, such as `accuracy_drop <= 0.02`."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from paretune.errors import UserError
from paretune.evaluators import Measurement


@dataclass(frozen=True)
class Constraint:
    """`metric <= bound` or `metric >= bound`."""

    metric: str
    operator: Literal["<=", ">="]
    bound: float

    def __str__(self) -> str:
        short = f"{self.bound:g}"
        # What is stored is what must be equal when it is read.
        bound = short if float(short) == self.bound else repr(self.bound)
        return f"{self.metric} {self.operator} {bound}"

    def violation(self, figures: Mapping[str, Measurement]) -> float:
        """By how much the bound is missed, in the metric's unit; 0 or less where it holds."""
        return self.excess(figures[self.metric].value)

    def excess(self, value: float) -> float:
        """The same for a value of the metric."""
        return value - self.bound if self.operator == "<=" else self.bound - value

    @staticmethod
    def parse(text: str) -> "Constraint":
        """Read `metric <= number` or `metric >= number`.

        Raises:
            UserError: the text is something else.
        """
        match = re.fullmatch(r"\s*([\w@.-]+)\s*(<=|>=)\s*([0-9.eE+-]+)\s*", text)
        try:
            if match is None:
                raise ValueError(text)
            operator: Literal["<=", ">="] = "<=" if match[2] == "<=" else ">="
            bound = float(match[3])
            if not math.isfinite(bound):
                raise ValueError(text)
            return Constraint(match[1], operator, bound)
        except ValueError:
            raise UserError(
                f"cannot read the constraint '{text}'; allowed is 'metric <= number' or"
                " 'metric >= number', such as 'accuracy_drop <= 0.02'"
            ) from None


def violations(
    constraints: Iterable[Constraint], figures: Mapping[str, Measurement]
) -> dict[str, float]:
    """By how much each constraint is violated whose metric was measured."""
    return {str(c): c.violation(figures) for c in constraints if c.metric in figures}
