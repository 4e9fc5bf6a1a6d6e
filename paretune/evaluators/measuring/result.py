"""What a job results in; the JSON form travels from the device."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95% interval."""

    value: float
    low: float
    high: float

    @property
    def relative_half_width(self) -> float:
        """Half the interval's width as a share of the value."""
        return (self.high - self.low) / 2 / self.value


@dataclass(frozen=True)
class Result:
    """The outcome of one job.

    Attributes:
        figures: name to estimate, in SI units (seconds, bytes, joules); a ratio is a pure number.
        samples: what the figures come from, JSON values; raw samples in the form of `compact`.
        conditions: what figures must have in common to be compared, JSON values: host, CPU,
            governor, runtime and its version, threads, CPUs pinned to, options.
        flags: what makes the figures doubtful, such as `disturbed`.
    """

    figures: Mapping[str, Estimate]
    samples: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> "Result":
        """Read what `to_dict` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            figures = {name: Estimate(**figure) for name, figure in data["figures"].items()}
            return Result(figures, data["samples"], data["conditions"], tuple(data["flags"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no result: {error!r}") from error
