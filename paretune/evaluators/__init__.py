"""Measuring an artifact: accuracy, latency, size.

What needs pydantic or onnx is loaded on first use, so that the values (`Metric`, `Measurement` and
so on) come in milliseconds and measuring processes stay small.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from paretune.errors import InferenceError
from paretune.evaluators.adapters import from_arrays, from_dataloader, from_npz
from paretune.evaluators.artifact import Artifact
from paretune.evaluators.data import Batch, Splits
from paretune.evaluators.fingerprint import fingerprint
from paretune.evaluators.loading import as_splits, load_splits
from paretune.evaluators.measurement import Measurement
from paretune.evaluators.metric import Metric

if TYPE_CHECKING:
    from paretune.evaluators.checking import check_splits
    from paretune.evaluators.evaluator import (
        EvaluationContext,
        Evaluator,
        EvaluatorOptions,
        EvaluatorPlugin,
        SplitName,
    )
    from paretune.evaluators.inference import run_batches
    from paretune.evaluators.signature import ModelInput, model_inputs, model_outputs
    from paretune.evaluators.suite import EvaluatorSuite

__all__ = [
    "Artifact",
    "Batch",
    "EvaluationContext",
    "Evaluator",
    "EvaluatorOptions",
    "EvaluatorPlugin",
    "EvaluatorSuite",
    "InferenceError",
    "Measurement",
    "Metric",
    "ModelInput",
    "SplitName",
    "Splits",
    "as_splits",
    "check_splits",
    "fingerprint",
    "from_arrays",
    "from_dataloader",
    "from_npz",
    "load_splits",
    "model_inputs",
    "model_outputs",
    "run_batches",
]

_LAZY = {
    "EvaluationContext": "evaluator",
    "Evaluator": "evaluator",
    "EvaluatorOptions": "evaluator",
    "EvaluatorPlugin": "evaluator",
    "EvaluatorSuite": "suite",
    "ModelInput": "signature",
    "SplitName": "evaluator",
    "check_splits": "checking",
    "model_inputs": "signature",
    "model_outputs": "signature",
    "run_batches": "inference",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
