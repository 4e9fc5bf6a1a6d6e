"""What every evaluator is: something that measures metrics of an artifact."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from paretune.evaluators.artifact import Artifact
from paretune.evaluators.data import Splits
from paretune.evaluators.measurement import Measurement
from paretune.evaluators.metric import Metric

SplitName = Literal["search", "test"]


class EvaluatorOptions(BaseModel):
    """What a user may set for an evaluator in the config; subclass it and add fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


OptionsT = TypeVar("OptionsT", bound=EvaluatorOptions)


@dataclass(frozen=True)
class EvaluationContext:
    """What an evaluator is given when a study starts.

    Attributes:
        reference: the uncompressed fp32 model, which relative metrics compare with.
        splits: the data.
    """

    reference: Artifact
    splits: Splits


class Evaluator(Protocol):
    """Measures one or more metrics of an artifact. Bound to one study; closed at its end."""

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


class EvaluatorPlugin(Protocol[OptionsT]):
    """The factory behind an entry point in the group `paretune.evaluators`.

    The entry point's name is the `type:` in the config. `Options` is checked before anything runs.
    """

    Options: type[OptionsT]

    @staticmethod
    def metrics(options: OptionsT) -> tuple[Metric, ...]:
        """The metrics that it can measure, known before it is created."""
        ...

    @staticmethod
    def create(options: OptionsT, context: EvaluationContext) -> Evaluator:
        """Start measuring for a study.

        Raises:
            UserError: the data or the options do not fit the model.
        """
        ...
