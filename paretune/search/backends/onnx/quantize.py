"""Quantization arithmetic: arrays in, integers with scales out."""

from dataclasses import dataclass

import numpy as np

from paretune.search.backends.onnx.graph import Array

_TINY = np.finfo(np.float32).tiny


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


def per_channel_int8(weight: Array, axis: int, least_scale: Array | None = None) -> Quantized:
    """Symmetric int8 in [-127, 127] with one scale for every index of `axis`.

    Args:
        weight: float32.
        axis: of the channels.
        least_scale: shape (channels,); smaller scales are raised to it.
    """
    others = tuple(a for a in range(weight.ndim) if a != axis)
    absmax = np.abs(weight).max(axis=others, initial=0.0).astype(np.float64)
    scale = (2 * absmax / 254).astype(np.float32)
    scale[scale < _TINY] = 1.0
    if least_scale is not None:
        scale = np.maximum(scale, least_scale)
    wide = np.expand_dims(scale, others)
    # ONNX Runtime divides in float32 and rounds half to even.
    values = np.clip(np.round(weight / wide), -127, 127).astype(np.int8)
    return Quantized(values, scale, np.zeros(scale.shape, np.int8))


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


def blockwise(rows: Array, bits: int) -> tuple[Array, Array]:
    """Symmetric `bits`-bit blocks; the value farthest from 0 of a block is exactly representable.

    Args:
        rows: shape (blocks, block).
        bits: 4 or 8.

    Returns:
        int8 values in [-2^(bits-1), 2^(bits-1) - 1], shape (blocks, block), and float32 scales,
        shape (blocks, 1), which may be negative.
    """
    top = 2 ** (bits - 1)
    farthest = np.take_along_axis(rows, np.abs(rows).argmax(1)[:, None], 1)
    scale = (farthest / -top).astype(np.float32)
    safe = np.where(np.abs(scale) < _TINY, np.float32(1), scale)
    return np.clip(np.round(rows / safe), -top, top - 1).astype(np.int8), safe


def packed_blocks(weight: Array, bits: int, block: int) -> tuple[Array, Array]:
    """The form that `MatMulNBits` reads.

    Args:
        weight: shape (in, out).
        bits: 4 or 8.
        block: weights a scale, along the input dimension.

    Returns:
        uint8 (out, blocks, block * bits / 8), low nibble first, and float32 scales (out * blocks,).
        The zero point is 2^(bits - 1), the operator's default.
    """
    inputs, outputs = weight.shape
    blocks = -(-inputs // block)
    padded = np.zeros((outputs, blocks * block), np.float32)
    padded[:, :inputs] = weight.T
    values, scale = blockwise(padded.reshape(-1, block), bits)
    stored = (values.astype(np.int16) + 2 ** (bits - 1)).astype(np.uint8)
    if bits == 4:
        stored = stored[:, 0::2] | (stored[:, 1::2] << 4)
    return stored.reshape(outputs, blocks, -1), scale.reshape(-1)


def stored_blocks(weight: Array, bits: int) -> tuple[Array, Array]:
    """Integers and scales that a `Cast` and a `Mul` decode, for layers without a native form.

    Returns:
        int8 (rows, blocks, block) and float32 scales (rows, blocks, 1), where rows is the
        first dimension of `weight`.
    """
    rows = weight.reshape(weight.shape[0], -1)
    inner = rows.shape[1]
    block = next((b for b in range(64, 15, -1) if inner % b == 0), inner)
    values, scale = blockwise(rows.reshape(-1, block), bits)
    shape = (weight.shape[0], inner // block)
    return values.reshape(*shape, block), scale.reshape(*shape, 1)
