"""Scales and integers of static int8 that depend on the bias: arrays in, arrays out."""

from dataclasses import dataclass

import numpy as np

from paretune.search.backends.onnx.graph import Array


@dataclass(frozen=True)
class Quantized:
    """Integers and what they stand for: `scale * (values - zero_point)`.

    Attributes:
        values: same shape as the original.
        scale: float32; shape () per tensor, (channels,) per channel.
        zero_point: of the type of `values`, shape of `scale`.
    """

    values: Array
    scale: Array
    zero_point: Array


def least_weight_scale(bias: Array, input_scale: Array) -> Array:
    """The float32 weight scale, shape (channels,), below which the bias overflows int32.

    The weights of a channel that training switched off are tiny, but its bias need not be. The
    factor is that of ONNX Runtime's quantizer.
    """
    width = 2 * float(np.iinfo(np.int32).max)
    least = 1.0001 * 2 * np.abs(bias.astype(np.float64)) / width / float(input_scale)
    return np.minimum(least, np.finfo(np.float32).max).astype(np.float32)


def int32_bias(bias: Array, input_scale: Array, weight_scale: Array) -> Quantized:
    """Bias at the scale of the accumulator, shape (channels,)."""
    scale = (input_scale * weight_scale).astype(np.float32)
    # In float64: float32 does not hold all of int32.
    values = np.round(bias.astype(np.float64) / scale.astype(np.float64))
    limit = np.iinfo(np.int32)
    values = np.clip(values, limit.min, limit.max).astype(np.int32)
    return Quantized(values, scale, np.zeros(scale.shape, np.int32))
