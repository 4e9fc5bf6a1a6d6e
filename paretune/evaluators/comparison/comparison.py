"""What comes out of a comparison."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretune.evaluators.measurement import Measurement
from paretune.evaluators.metric import Metric

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1


@dataclass(frozen=True)
class Row:
    """One model, measured once.

    Attributes:
        model: file.
        round: from 1 on, where models are measured several times.
        figures: metric name to measurement; the ratio is missing for the reference.
        samples: kind of measurement to raw samples, JSON values.
        error: why there are no figures.
    """

    model: Path
    round: int
    figures: Mapping[str, Measurement] = field(default_factory=dict)
    samples: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    error: str = ""

    @property
    def flags(self) -> tuple[str, ...]:
        """What makes figures doubtful, such as `disturbed`."""
        return tuple(dict.fromkeys(flag for m in self.figures.values() for flag in m.flags))


@dataclass(frozen=True)
class Comparison:
    """Models measured beside a reference.

    Attributes:
        reference: file.
        metrics: in the order to show them in.
        rows: round by round, the reference first.
        inputs: name to element type and shape, such as `float32 (1, 3, 224, 224)`.
        conditions: that all figures were taken under.
    """

    reference: Path
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]
    inputs: Mapping[str, str]

    @property
    def conditions(self) -> Mapping[str, Any]:
        return {
            key: value
            for row in self.rows
            for measurement in row.figures.values()
            for key, value in measurement.conditions.items()
        }

    @property
    def names(self) -> Mapping[Path, str]:
        """Model to its file's name, or to its path where several have that name."""
        models = dict.fromkeys(row.model for row in self.rows)
        called = [model.name for model in models]
        return {m: m.name if called.count(m.name) == 1 else str(m) for m in models}

    @property
    def table(self) -> "pd.DataFrame":
        """One row a model and round.

        Columns: `model`, `round`, per metric `<metric>`, `<metric>_low`, `<metric>_high` (95%
        interval, empty for exact figures), `flags`, `error`.
        """
        import pandas as pd

        return pd.DataFrame([self._record(row) for row in self.rows])

    def to_dict(self) -> dict[str, Any]:
        """JSON values: everything, raw samples included."""
        return {
            "_type": "paretune.comparison",
            "_version": VERSION,
            "reference": str(self.reference),
            "inputs": dict(self.inputs),
            "conditions": dict(self.conditions),
            "units": {metric.name: metric.unit for metric in self.metrics},
            "models": [
                {
                    "model": str(row.model),
                    "round": row.round,
                    "figures": {
                        name: {"value": m.value, "low": m.low, "high": m.high}
                        for name, m in row.figures.items()
                    },
                    "flags": list(row.flags),
                    "error": row.error or None,
                    "samples": dict(row.samples),
                }
                for row in self.rows
            ],
        }

    def _record(self, row: Row) -> dict[str, Any]:
        record: dict[str, Any] = {"model": self.names[row.model], "round": row.round}
        for metric in self.metrics:
            found = row.figures.get(metric.name)
            record[metric.name] = None if found is None else found.value
            record[f"{metric.name}_low"] = None if found is None else found.low
            record[f"{metric.name}_high"] = None if found is None else found.high
        return {**record, "flags": ", ".join(row.flags), "error": row.error}
