"""A metric: a name, a unit and a direction, declared once."""

from dataclasses import dataclass
from typing import Literal

Direction = Literal["minimize", "maximize"]


@dataclass(frozen=True)
class Metric:
    """What a number means.

    Attributes:
        name: e.g. `latency_ms`.
        unit: e.g. `ms`; empty for a pure number.
        direction: which way is better.
        description: one line for `--help`, tables and the MLflow UI.
    """

    name: str
    unit: str
    direction: Direction
    description: str
