"""The plugin `latency`: what can be set, and starting the worker."""

import tempfile
from pathlib import Path

import numpy as np
from pydantic import Field

from paretune.errors import UserError
from paretune.evaluators.data import Array, Batch
from paretune.evaluators.evaluator import EvaluationContext, EvaluatorOptions
from paretune.evaluators.inference import InferenceError
from paretune.evaluators.latency.client import LatencyWorker
from paretune.evaluators.latency.evaluator import LatencyEvaluator
from paretune.evaluators.latency.protocol import Start
from paretune.evaluators.metric import Metric
from paretune.evaluators.signature import model_inputs


class LatencyOptions(EvaluatorOptions):
    """What a user may set.

    Attributes:
        threads: intra-op threads of ONNX Runtime.
        batch: samples per run, the first ones of the `search` split.
        target: relative half width of the 95% interval of the ratio at which sampling stops.
        max_seconds: of sampling one artifact, warm-up and loading not counted.
    """

    threads: int = Field(default=1, ge=1)
    batch: int = Field(default=1, ge=1)
    target: float = Field(default=0.01, gt=0, lt=1)
    max_seconds: float = Field(default=0.5, gt=0)


class LatencyPlugin:
    """Latency on this host, of the artifact in turn with the fp32 model."""

    Options = LatencyOptions

    @staticmethod
    def metrics(_options: LatencyOptions) -> tuple[Metric, ...]:
        """The median of a run, and its ratio to the fp32 model."""
        return (
            Metric("latency_ms", "ms", "minimize", "Median latency of a run on this host"),
            Metric("latency_ratio", "", "minimize", "Median latency relative to the fp32 model"),
        )

    @staticmethod
    def create(options: LatencyOptions, context: EvaluationContext) -> LatencyEvaluator:
        """Write the inputs down and start the worker on the reference.

        Raises:
            UserError: the model takes another batch size only, or does not run.
        """
        reference = context.reference.path
        inputs = latency_inputs(context.splits.search[0], options.batch)
        _check_batch_size(reference, options.batch)
        folder = tempfile.TemporaryDirectory(prefix="paretune-latency-")
        try:
            path = Path(folder.name) / "inputs.npz"
            np.savez(path, *inputs.values())
            start = Start(
                str(reference.resolve()),
                str(path),
                tuple(inputs),
                options.threads,
                options.target,
                options.max_seconds,
            )
            worker = LatencyWorker(start, Path(folder.name) / "worker.log")
        except InferenceError as error:
            folder.cleanup()
            raise UserError(f"evaluator 'latency': the model itself: {error}") from error
        except BaseException:
            folder.cleanup()
            raise
        return LatencyEvaluator(worker, folder, threads=options.threads, batch=options.batch)


def latency_inputs(batch: Batch, size: int) -> dict[str, Array]:
    """The first `size` samples of a batch, repeated from the start where it has fewer."""
    rows = np.arange(size) % batch.size
    return {name: array[rows] for name, array in batch.inputs.items()}


def _check_batch_size(model: Path, batch: int) -> None:
    for given in model_inputs(model):
        fixed = given.shape[0] if given.shape else None
        if given.required and fixed is not None and fixed != batch:
            raise UserError(
                f"evaluator 'latency': 'batch' is {batch}, but the model's input {given} takes only"
                f" {fixed}"
            )
