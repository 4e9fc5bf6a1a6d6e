"""Turns the worker's samples into measurements."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from platform import processor
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from paretune.evaluators.artifact import Artifact
from paretune.evaluators.evaluator import SplitName
from paretune.evaluators.latency.client import LatencyWorker
from paretune.evaluators.latency.sampling import Pairs
from paretune.evaluators.latency.statistics import median
from paretune.evaluators.measurement import Measurement
from paretune.evaluators.metric import Metric


class LatencyEvaluator:
    """Asks the worker once per artifact, whatever the number of metrics.

    Args:
        worker: running.
        folder: the worker's files; removed at the end.
        threads, batch: for the record.
    """

    def __init__(
        self, worker: LatencyWorker, folder: TemporaryDirectory[str], *, threads: int, batch: int
    ) -> None:
        self._worker = worker
        self._folder = folder
        self._conditions: Mapping[str, Any] = {
            "threads": threads,
            "batch": batch,
            "runtime": worker.ready.runtime,
            "provider": worker.ready.provider,
            "cpu": cpu_model(),
        }

    def measure(
        self, artifact: Artifact, metrics: Sequence[Metric], _split: SplitName
    ) -> dict[str, Measurement]:
        """Sample the artifact; its latency does not depend on the split.

        Raises:
            InferenceError: ONNX Runtime refuses it.
            TransientError: the worker died; the next call starts another.
        """
        pairs = self._worker.measure(artifact.path)
        return {metric.name: self._measurement(metric.name, pairs) for metric in metrics}

    def close(self) -> None:
        """End the worker and remove its files."""
        self._worker.close()
        self._folder.cleanup()

    def _measurement(self, metric: str, pairs: Pairs) -> Measurement:
        if metric == "latency_ratio":
            values = pairs.ratios
        else:
            values = [1e3 * seconds for seconds in pairs.candidate]
        result = median(values)
        p10, p90 = np.percentile(values, [10, 90])
        samples = {
            "count": len(values),
            "min": min(values),
            "p10": float(p10),
            "p50": result.value,
            "p90": float(p90),
        }
        conditions = {**self._conditions, "blocks": len(values), "runs_per_block": pairs.runs}
        return Measurement(result.value, result.low, result.high, samples, conditions)


def cpu_model() -> str:
    """The CPU's name, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return processor() or "unknown"
