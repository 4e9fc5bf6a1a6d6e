"""What the evaluating process is asked: first a `Create`, then any number of `Measure`, `Close`."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

from paretune.evaluators.artifact import Artifact
from paretune.evaluators.devices.device import DeviceSpec
from paretune.evaluators.evaluator import EvaluationContext, SplitName
from paretune.evaluators.part import Part
from paretune.evaluators.suite import Configured


@dataclass(frozen=True)
class Create:
    """Start the evaluators; the arguments of `EvaluatorSuite.create`.

    Attributes:
        seconds: that it may take without waiting for devices.
    """

    configured: Configured
    wanted: Sequence[str]
    context: EvaluationContext
    devices: Sequence[DeviceSpec]
    seconds: float


@dataclass(frozen=True)
class Measure:
    """Measure an artifact.

    Attributes:
        only: names of the metrics to measure; None for all that are wanted.
        part: of the split, for metrics that are `sampled`; None for all of it.
        seconds: that each evaluator may take without waiting for devices.
    """

    artifact: Artifact
    split: SplitName
    seconds: float
    only: Set[str] | None = None
    part: Part | None = None


@dataclass(frozen=True)
class Close:
    """Close the evaluators."""


Request = Create | Measure | Close
