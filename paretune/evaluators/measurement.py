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
            What was measured in parts also has `of`, the samples of the split, there, and `best`:
            what the value on the whole split is at best, whatever the other samples give.
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

    @property
    def in_parts(self) -> bool:
        """Whether it was measured in parts, of which more may follow."""
        return "of" in self.samples

    @property
    def partial(self) -> bool:
        """Whether it is an estimate from some of the split's samples."""
        return bool(self.samples.get("count", 0) < self.samples.get("of", 0))

    @property
    def best(self) -> float | None:
        """The best that the value on the whole split can be; None where there is no limit."""
        return self.samples.get("best") if self.partial else self.value

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
        """Read what `to_dict` wrote.

        Raises:
            ValueError, LookupError, TypeError, AttributeError: it is something else.
        """
        low, high = data.get("low"), data.get("high")
        samples, conditions = data.get("samples", {}), data.get("conditions", {})
        if not (isinstance(samples, dict) and isinstance(conditions, dict)):
            raise TypeError("a measurement's samples and conditions must be mappings")
        counts = [samples.get(name, 0) for name in ("count", "of")]
        ends = [end for end in (low, high, samples.get("best")) if end is not None]
        # Numbers, or this fails.
        math.fsum((*counts, *ends))
        flags = tuple(data.get("flags", ()))
        return Measurement(data["value"], low, high, samples, conditions, flags)
