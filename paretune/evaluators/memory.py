"""How much memory an artifact takes on a device."""

from pydantic import Field

from paretune.evaluators.evaluator import EvaluationContext, EvaluatorOptions
from paretune.evaluators.job_evaluator import JobEvaluator
from paretune.evaluators.metric import Metric


class MemoryOptions(EvaluatorOptions):
    """What a user may set.

    Attributes:
        batch: samples per run, the first ones of the `search` split.
    """

    batch: int = Field(default=1, ge=1)


class MemoryPlugin:
    """The high-water mark of a process of its own that loads and runs the artifact."""

    Options = MemoryOptions
    per_device = True

    @staticmethod
    def metrics(_options: MemoryOptions) -> tuple[Metric, ...]:
        """In bytes, less is better."""
        text = "Peak memory of loading and running the model, over the idle runtime"
        return (Metric("peak_memory_bytes", "bytes", "minimize", text),)

    @staticmethod
    def create(options: MemoryOptions, context: EvaluationContext) -> JobEvaluator:
        """Write the inputs down and measure the reference.

        Raises:
            UserError: the model takes another batch size only, or does not run.
        """
        return JobEvaluator("memory", "peak_memory", context, batch=options.batch, options={})
