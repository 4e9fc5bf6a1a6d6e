"""A measurement: a metric's value, how sure we are, and under what conditions it was taken."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Measurement:
    """The value of one metric for one artifact.

    Attributes:
        value: in the metric's unit.
        low, high: a 95% interval of the value, or None for exact figures such as a file size.
        samples: summary of the raw samples (count, percentiles, ...), JSON values only.
        conditions: what the value depends on besides the artifact (host, threads, batch size,
            runtime version, ...), JSON values only. Values taken under different conditions are
            never compared, so what differs from one artifact to the next belongs into `samples`.
        flags: what makes the value doubtful, such as `disturbed`.
    """

    value: float
    low: float | None = None
    high: float | None = None
    samples: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"a measurement must be finite, but got {self.value}")

    def to_dict(self) -> dict[str, Any]:
        data: dict[str, Any] = {"value": self.value}
        if self.low is not None:
            data |= {"low": self.low, "high": self.high}
        if self.samples:
            data["samples"] = dict(self.samples)
        if self.conditions:
            data["conditions"] = dict(self.conditions)
        if self.flags:
            data["flags"] = list(self.flags)
        return data

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> "Measurement":
        return Measurement(
            data["value"],
            data.get("low"),
            data.get("high"),
            data.get("samples", {}),
            data.get("conditions", {}),
            tuple(data.get("flags", ())),
        )
