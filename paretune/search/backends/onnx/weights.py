"""The constants of one layer under one choice."""

from collections.abc import Iterable
from dataclasses import dataclass

import ml_dtypes
import numpy as np
from onnx import TensorProto, numpy_helper

from paretune.search.backends.onnx.graph import Array
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.pruning import damage, mask
from paretune.search.backends.onnx.quantize import packed_blocks, per_channel_int8, stored_blocks
from paretune.spaces import NM, Choice, Precision, Unstructured

BLOCK = 32
"""Weights a scale in `MatMulNBits`; the smallest that all its kernels support."""

NATIVE_BLOCKS = frozenset({"MatMul", "Gemm"})
"""Layers whose weight-only form is `MatMulNBits`; the others are decoded at load."""

BITS = {Precision.W8: 8, Precision.W4: 4}


@dataclass(frozen=True)
class LayerWeights:
    """The arrays of a layer after channels were removed.

    Attributes:
        layer: where it sits.
        weight: as stored in the graph.
        moment: E[x²] of each remaining input channel, shape (in,), or None.
        least_scale: of static int8 weights, shape (out,), or None for any.
    """

    layer: WeightedNode
    weight: Array
    moment: Array | None
    least_scale: Array | None = None


def encode(source: LayerWeights, choice: Choice) -> Iterable[TensorProto]:
    """Prune, then represent the weight as `choice` says.

    The names are the layer's stem and `weight` for what the layer's node reads directly or
    after decoding, `weight/scale`, `weight/zero_point`, `weight/shape`.

    Raises:
        Infeasible: the sparsity pattern does not fit the layer.
    """
    layer, weight = source.layer, source.weight
    if isinstance(choice.sparsity, Unstructured | NM):
        scores = damage(layer, weight, source.moment)
        weight = weight * mask(layer, scores, choice.sparsity)
    name = f"{layer.stem}weight"
    match choice.precision:
        case Precision.FP32:
            return [_tensor(weight, name)]
        case Precision.FP16:
            limit = np.finfo(np.float16).max
            return [_tensor(np.clip(weight, -limit, limit).astype(np.float16), name)]
        case Precision.INT8 | Precision.INT8_DYNAMIC:
            least = source.least_scale if choice.precision is Precision.INT8 else None
            found = per_channel_int8(weight, layer.out_axis, least)
            return [
                _tensor(found.values, name),
                _tensor(found.scale, f"{name}/scale"),
                _tensor(found.zero_point, f"{name}/zero_point"),
            ]
        case Precision.W8 | Precision.W4:
            bits = BITS[choice.precision]
            if layer.layer.op_type in NATIVE_BLOCKS:
                packed, scales = packed_blocks(weight, bits, BLOCK)
                return [_tensor(packed, name), _tensor(scales, f"{name}/scale")]
            values, scales = stored_blocks(weight, bits)
            return [
                _tensor(values.astype(ml_dtypes.int4) if bits == 4 else values, name),
                _tensor(scales, f"{name}/scale"),
                _tensor(np.array(weight.shape, np.int64), f"{name}/shape"),
            ]


def _tensor(array: Array, name: str) -> TensorProto:
    return numpy_helper.from_array(np.asarray(array, order="C"), name)
