"""Evaluators that measure one figure of an artifact, by one job on a device."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from paretune.evaluators.artifact import Artifact
from paretune.evaluators.bench import Bench
from paretune.evaluators.evaluator import EvaluationContext, SplitName
from paretune.evaluators.feeds import check_batch_size
from paretune.evaluators.measurement import Measurement
from paretune.evaluators.measuring.job import Kind
from paretune.evaluators.metric import Metric


class JobEvaluator:
    """Sends a job for every artifact; at the start one for the reference, to see that it can.

    Args:
        kind: of the jobs, and the evaluator's name.
        figure: of the results.
        batch: samples per run, the first ones of the `search` split.
        options: of the jobs.
        trial_options: of the job at the start, where they differ; None for no such job, where any
            device can do them.
        scale: turns the figure into the metric's unit.
        extra_seconds: that a job may take, besides loading the model and some runs.

    Raises:
        UserError: the model takes another batch size only or does not run, or the device cannot do
            such a job.
        TransientError: the device, or the way to it, failed.
    """

    def __init__(
        self,
        kind: Kind,
        figure: str,
        context: EvaluationContext,
        *,
        batch: int,
        options: Mapping[str, Any],
        trial_options: Mapping[str, Any] | None = None,
        scale: float = 1.0,
        extra_seconds: float = 0.0,
    ) -> None:
        what = f"evaluator '{kind}'"
        check_batch_size(context.reference.path, batch, f"{what}: 'batch'")
        self._kind: Kind = kind
        self._figure = figure
        self._batch = batch
        self._options = options
        self._scale = scale
        self._extra_seconds = extra_seconds
        with ExitStack() as stack:
            self._bench = Bench(context, what)
            stack.callback(self._bench.close)
            self._bench.add_inputs(batch)
            if trial_options is not None:
                trial = {**options, **trial_options}
                self._bench.try_out(kind, batch, trial, extra_seconds=extra_seconds)
            stack.pop_all()

    def measure(
        self, artifact: Artifact, metrics: Sequence[Metric], _split: SplitName
    ) -> dict[str, Measurement]:
        """Measure the artifact; the figure does not depend on the split.

        Raises:
            CandidateError: the runtime refuses the artifact, or it broke what ran it.
            Infeasible: the device computes other outputs than ONNX Runtime does here.
            TransientError: the device failed; trying again may help.
        """
        result = self._bench.run(
            self._kind,
            artifact.path,
            self._batch,
            self._options,
            extra_seconds=self._extra_seconds,
        )
        found = result.figures[self._figure]
        exact = found.low == found.high
        measurement = Measurement(
            self._scale * found.value,
            None if exact else self._scale * found.low,
            None if exact else self._scale * found.high,
            result.samples,
            {**result.conditions, "batch": self._batch},
            result.flags,
        )
        return {metric.name: measurement for metric in metrics}

    def close(self) -> None:
        """Remove the files; the device is closed by whoever has connected to it."""
        self._bench.close()
