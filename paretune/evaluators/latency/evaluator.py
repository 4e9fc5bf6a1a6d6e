"""Turns what a device has measured into measurements."""

from collections.abc import Mapping, Sequence
from typing import Any

from paretune.evaluators.artifact import Artifact
from paretune.evaluators.bench import Bench
from paretune.evaluators.evaluator import SplitName
from paretune.evaluators.latency.sources import SOURCES, THROUGHPUT, Source
from paretune.evaluators.measurement import Measurement
from paretune.evaluators.measuring.job import Kind
from paretune.evaluators.measuring.result import Result
from paretune.evaluators.metric import Metric


class LatencyEvaluator:
    """Asks the device once for all metrics that come from the same samples.

    Args:
        bench: with the inputs of both batch sizes.
        batch, throughput_batch: samples per run.
        target, max_seconds: when to stop sampling, see `LatencyOptions`.
    """

    def __init__(
        self,
        bench: Bench,
        *,
        batch: int,
        throughput_batch: int,
        target: float,
        max_seconds: float | None,
    ) -> None:
        self._bench = bench
        self._batch = batch
        self._throughput_batch = throughput_batch
        self._options: Mapping[Kind, Mapping[str, Any]] = {
            "latency": {"target": target, "max_seconds": max_seconds},
            "load": {},
        }
        # As much again for the warm-up and for what is taken again.
        self._extra_seconds = 2 * (max_seconds or 0)

    def measure(
        self, artifact: Artifact, metrics: Sequence[Metric], _split: SplitName
    ) -> dict[str, Measurement]:
        """Measure the artifact; its latency does not depend on the split.

        Raises:
            InferenceError: the runtime refuses it.
            CandidateError: it crashed the runtime, hung, or took too much memory.
            Infeasible: the device computes other outputs than ONNX Runtime does here.
            TransientError: the device failed; trying again may help.
        """
        names = {metric.name for metric in metrics}
        jobs: dict[tuple[Kind, int], list[Source]] = {}
        for source in SOURCES:
            if source.metric.name in names:
                jobs.setdefault((source.kind, self._batch_of(source)), []).append(source)
        measured: dict[str, Measurement] = {}
        for (kind, batch), sources in jobs.items():
            result = self._bench.run(
                kind,
                artifact.path,
                batch,
                self._options[kind],
                extra_seconds=self._extra_seconds,
            )
            measured |= _measurements(result, sources, batch)
        return {metric.name: measured[metric.name] for metric in metrics}

    def close(self) -> None:
        """Remove the files; the device is closed by whoever has connected to it."""
        self._bench.close()

    def _batch_of(self, source: Source) -> int:
        return self._throughput_batch if source.metric.name == THROUGHPUT else self._batch


def _measurements(result: Result, sources: Sequence[Source], batch: int) -> dict[str, Measurement]:
    conditions = {**result.conditions, "batch": batch}
    # The same samples are behind all of them, and not small: they go with the first.
    samples = result.samples
    measured = {}
    for source in sources:
        found = source.read(result.figures, batch)
        measured[source.metric.name] = Measurement(
            found.value, found.low, found.high, samples, conditions, result.flags
        )
        samples = {}
    return measured
