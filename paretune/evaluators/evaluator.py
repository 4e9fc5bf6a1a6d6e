"""What every evaluator is: something that measures metrics of an artifact."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from paretune.evaluators.artifact import Artifact
from paretune.evaluators.data import Splits
from paretune.evaluators.devices.device import Device
from paretune.evaluators.measurement import Measurement
from paretune.evaluators.measuring.job import Setup
from paretune.evaluators.metric import Metric
from paretune.evaluators.part import Part

SplitName = Literal["search", "test"]


class EvaluatorOptions(BaseModel):
    """What a user may set for an evaluator in the config; subclass it and add fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


OptionsT = TypeVar("OptionsT", bound=EvaluatorOptions)


@dataclass(frozen=True)
class DeviceContext:
    """A device, and how it runs models.

    Attributes:
        name: in the config.
        device: connected.
        setup: goes into every job.
    """

    name: str
    device: Device
    setup: Setup


@dataclass(frozen=True)
class EvaluationContext:
    """What an evaluator is given when a study starts.

    Attributes:
        reference: the uncompressed fp32 model, which relative metrics compare with.
        splits: the data.
        device: where to measure, for plugins that are `per_device`.
        memory_limit: bytes that a process which runs a candidate on this host may allocate; None
            for no limit.
    """

    reference: Artifact
    splits: Splits
    device: DeviceContext | None = None
    memory_limit: int | None = None


class Evaluator(Protocol):
    """Measures one or more metrics of an artifact. Bound to one study; closed at its end.

    Evaluators on one machine are called one after the other; those on different machines at the
    same time, from different threads.
    """

    def measure(
        self, artifact: Artifact, metrics: Sequence[Metric], split: SplitName
    ) -> Mapping[str, Measurement]:
        """Measure `metrics`, some of the declared ones; the result maps names to measurements.

        Raises:
            Infeasible: the artifact cannot be measured for a reason that lies in it (NaN outputs).
            TransientError: try again.
        """
        ...

    def close(self) -> None:
        """Release processes and files. Called once."""
        ...


class PartEvaluator(Evaluator, Protocol):
    """An evaluator of metrics that are `sampled`: a search may ask for them part by part."""

    def measure(
        self,
        artifact: Artifact,
        metrics: Sequence[Metric],
        split: SplitName,
        part: Part | None = None,
    ) -> Mapping[str, Measurement]:
        """As `Evaluator.measure`, but with a `part` on no more samples than it says.

        The measurements' `samples` then hold `count`, `of` and `best`.
        """
        ...


class EvaluatorPlugin(Protocol[OptionsT]):
    """The factory behind an entry point in the group `paretune.evaluators`.

    The entry point's name is the `type:` in the config. `Options` is checked before anything runs.

    A plugin that measures on a device also has `per_device = True`: it is created once for every
    device of the study with `context.device` set. With several devices the study's names of its
    metrics end in theirs (`latency_ms@pi`); the plugin and its evaluators know the plain names.
    """

    Options: type[OptionsT]

    @staticmethod
    def metrics(options: OptionsT) -> tuple[Metric, ...]:
        """The metrics that it can measure, known before it is created; no name has an `@`."""
        ...

    @staticmethod
    def create(options: OptionsT, context: EvaluationContext) -> Evaluator:
        """Start measuring for a study.

        Raises:
            UserError: the data or the options do not fit the model.
            TransientError: the device, or the way to it, failed.
        """
        ...
