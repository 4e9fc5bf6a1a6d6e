"""A metric: a name, a unit and a direction, declared once."""

from dataclasses import dataclass, replace
from typing import Literal

Direction = Literal["minimize", "maximize"]


@dataclass(frozen=True)
class Metric:
    """What a number means.

    Attributes:
        name: e.g. `latency_ms`, or `latency_ms@pi` where several devices measure it.
        unit: e.g. `ms`; empty for a pure number.
        direction: which way is better.
        description: one line for `--help`, tables and the MLflow UI.
        per_device: whether it tells of a device and not only of the model's answers or file; set
            for what a plugin that is `per_device` measures.
        sampled: whether it is a mean over samples that can be measured in parts; the `measure` of
            its evaluator then also takes a `part`.
    """

    name: str
    unit: str
    direction: Direction
    description: str
    per_device: bool = False
    sampled: bool = False

    @property
    def base(self) -> str:
        """The name without the device."""
        return self.name.partition("@")[0]

    @property
    def device(self) -> str:
        """The device that the name ends in; empty for what does not depend on one."""
        return self.name.partition("@")[2]

    def on(self, device: str) -> "Metric":
        """The same metric, of one device out of several."""
        return replace(
            self, name=at(self.name, device), description=f"{self.description}, on {device}"
        )


def at(name: str, device: str) -> str:
    """A name that ends in a device's, if one is given: `latency_ms@pi`."""
    return f"{name}@{device}" if device else name


def extended(name: str, suffix: str) -> str:
    """What is said beside a metric: `latency_ms@pi` and `_low` give `latency_ms_low@pi`."""
    base, _, device = name.partition("@")
    return at(f"{base}{suffix}", device)
