"""Precisions: how the numbers of one layer are represented."""

from enum import StrEnum


class Precision(StrEnum):
    """How one layer's weights, and where it says so its activations, are represented.

    The string values are the spelling in configs, policies and tables.
    """

    FP32 = "fp32"
    """IEEE single precision, as exported."""

    FP16 = "fp16"
    """Weights stored as IEEE half precision and widened once, when the model is loaded."""

    INT8 = "int8"
    """Static 8-bit: per-channel symmetric weights, per-tensor calibrated activations."""

    INT8_DYNAMIC = "int8-dynamic"
    """8-bit weights; the activation range is taken from each input at run time."""

    W8 = "w8"
    """Weight-only, block-wise 8-bit; activations stay float."""

    W4 = "w4"
    """Weight-only, block-wise 4-bit; activations stay float."""
