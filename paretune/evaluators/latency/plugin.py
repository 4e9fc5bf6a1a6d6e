"""The plugin `latency`: what can be set, and seeing that the model runs on the device."""

from contextlib import ExitStack
from typing import Any

from pydantic import Field, model_validator

from paretune.evaluators.bench import Bench
from paretune.evaluators.evaluator import EvaluationContext, EvaluatorOptions
from paretune.evaluators.feeds import check_batch_size
from paretune.evaluators.latency.evaluator import LatencyEvaluator
from paretune.evaluators.latency.sources import SOURCES
from paretune.evaluators.metric import Metric
from paretune.validation import Seconds


class LatencyOptions(EvaluatorOptions):
    """What a user may set.

    Attributes:
        batch: samples per run, the first ones of the `search` split.
        target: relative half width of the 95% interval of the ratio at which sampling stops.
        max_seconds: of sampling one artifact, warm-up and loading not counted; by default what
            suits the model.
        throughput_batch: samples per run for `throughput`; by default `batch`.
    """

    batch: int = Field(default=1, ge=1)
    target: float = Field(default=0.01, gt=0, lt=1)
    max_seconds: Seconds | None = None
    throughput_batch: int | None = Field(default=None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _of_the_device(cls, given: Any) -> Any:
        if isinstance(given, dict):
            for name in ("threads", "cpus", "runtime"):
                if name in given:
                    raise ValueError(
                        f"'{name}' is set for a device, such as"
                        f" `devices: {{host: {{{name}: {given[name]}}}}}`"
                    )
        return given


class LatencyPlugin:
    """How fast an artifact is on a device, in turn with the fp32 model."""

    Options = LatencyOptions
    per_device = True

    @staticmethod
    def metrics(_options: LatencyOptions) -> tuple[Metric, ...]:
        """The median of a run, its ratio to the fp32 model, and more."""
        return tuple(source.metric for source in SOURCES)

    @staticmethod
    def create(options: LatencyOptions, context: EvaluationContext) -> LatencyEvaluator:
        """Run the reference on the device once.

        Raises:
            UserError: the model takes another batch size only, or does not run there.
            TransientError: the device, or the way to it, failed.
        """
        reference = context.reference.path
        check_batch_size(reference, options.batch, "evaluator 'latency': 'batch'")
        throughput_batch = options.throughput_batch or options.batch
        if throughput_batch != options.batch:
            what = "evaluator 'latency': 'throughput_batch'"
            check_batch_size(reference, throughput_batch, what)
        with ExitStack() as stack:
            bench = Bench(context, "evaluator 'latency'")
            stack.callback(bench.close)
            for batch in sorted({options.batch, throughput_batch}):
                bench.add_inputs(batch)
            stack.pop_all()
        return LatencyEvaluator(
            bench,
            batch=options.batch,
            throughput_batch=throughput_batch,
            target=options.target,
            max_seconds=options.max_seconds,
        )
