"""How good an artifact's answers are: against the labels and against the fp32 model."""

from paretune.evaluators.accuracy.plugin import AccuracyOptions, AccuracyPlugin, FunctionOptions

__all__ = ["AccuracyOptions", "AccuracyPlugin", "FunctionOptions"]
