"""Measuring models beside each other, without a search."""

from paretune.evaluators.comparison.comparing import KINDS, compare
from paretune.evaluators.comparison.comparison import Comparison, Row
from paretune.evaluators.comparison.inputs import check_inputs, made_inputs, read_inputs

__all__ = [
    "KINDS",
    "Comparison",
    "Row",
    "check_inputs",
    "compare",
    "made_inputs",
    "read_inputs",
]
