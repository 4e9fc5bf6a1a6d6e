"""Measuring an artifact: accuracy, latency, size."""

from paretune.evaluators.artifact import Artifact
from paretune.evaluators.data import Batch, Splits
from paretune.evaluators.evaluator import (
    EvaluationContext,
    Evaluator,
    EvaluatorOptions,
    EvaluatorPlugin,
    SplitName,
)
from paretune.evaluators.measurement import Measurement
from paretune.evaluators.metric import Metric

__all__ = [
    "Artifact",
    "Batch",
    "EvaluationContext",
    "Evaluator",
    "EvaluatorOptions",
    "EvaluatorPlugin",
    "Measurement",
    "Metric",
    "SplitName",
    "Splits",
]
