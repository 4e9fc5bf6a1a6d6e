"""`w8` and `w4`: block-wise integer weights, activations stay float."""

from collections.abc import Mapping

import ml_dtypes
import numpy as np
from onnx import NodeProto, TensorProto

from paretune.search.backends.onnx.graph import Array, attributes
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.matrices import columns_of
from paretune.search.backends.onnx.solvers.grid import Grid
from paretune.search.backends.onnx.solvers.problem import Matrix, Problem
from paretune.search.backends.onnx.solvers.uniform import UniformGrid
from paretune.search.backends.onnx.techniques.decoding import (
    arranged,
    block_size,
    blocks_of,
    decoded,
    decoding_tensors,
)
from paretune.search.backends.onnx.techniques.grids import block_grid
from paretune.search.backends.onnx.techniques.technique import (
    LAYERS,
    Place,
    Source,
    Stored,
    View,
    tensor,
)
from paretune.spaces import Support

BLOCK = 32
"""Weights a scale in `MatMulNBits`; the smallest that all its kernels support."""

NATIVE = frozenset({"MatMul", "Gemm"})
"""Layers whose form is `MatMulNBits`; the others are decoded at load."""

MICROSOFT = "com.microsoft"
"""ONNX Runtime's own operator domain."""


class Blocks:
    """Symmetric integers with a scale for every block of neighbouring inputs."""

    supports: Mapping[str, Support] = {
        op: Support.NATIVE if op in NATIVE else Support.STORAGE for op in LAYERS
    }

    bits: int

    def grid(self, source: Source, problem: Problem) -> Grid:
        """[-2^(bits-1), 2^(bits-1) - 1] times a scale for every block."""
        columns = problem.weights.shape[2]
        native = source.layer.layer.op_type in NATIVE
        blocks = (
            np.arange(columns) // BLOCK
            if native
            else blocks_of(source.layer, columns, block_size(columns))
        )
        return block_grid(problem, self.bits, blocks, naive=source.naive)

    def store(self, source: Source, grid: Grid | None, found: Matrix) -> list[TensorProto]:
        """In the form that `MatMulNBits` reads, or codes and scales to be decoded at load."""
        assert isinstance(grid, UniformGrid)
        codes, name = grid.codes(found), source.name
        if source.layer.layer.op_type in NATIVE:
            scale = grid.scale[0].astype(np.float32)
            return [
                tensor(_packed(codes[0], self.bits), name),
                tensor(scale.reshape(-1), f"{name}/scale"),
            ]
        stored, wide = arranged(source.layer, codes, grid.scale, source.weight.shape)
        kind = ml_dtypes.int4 if self.bits == 4 else np.int8
        return [tensor(stored.astype(kind), name), *decoding_tensors(source, wide)]

    def emit(self, place: Place) -> None:
        """`MatMulNBits`, or a decoder and the layer's own node."""
        weight, shape = place.weight, place.shape
        if place.layer.layer.op_type not in NATIVE:
            wide = place.node("Cast", [weight], f"{weight}/float", to=TensorProto.FLOAT)
            place.own(decoded(place, wide))
            return
        place.named(
            "MatMulNBits",
            [place.layer.data, weight, f"{weight}/scale"],
            place.product,
            domain=MICROSOFT,
            K=shape[0],
            N=shape[1],
            bits=self.bits,
            block_size=BLOCK,
            # Computes in int8; measured, levels 0 and 1 are slower than fp32.
            accuracy_level=4,
        )
        place.add_bias()

    def read(self, view: View, layer: WeightedNode, node: NodeProto) -> Stored | None:
        """`MatMulNBits`, or a decoder behind int8 or int4."""
        if node.op_type == "MatMulNBits":
            values = attributes(node)
            if values["bits"] != self.bits:
                return None
            shape = (values["K"], values["N"])
            return Stored(shape, lambda: _unpacked(view.array(node.input[1]), values) != 0)
        kinds, name = view.chain(layer, node)
        kind = TensorProto.INT4 if self.bits == 4 else TensorProto.INT8
        if (
            node.op_type != layer.layer.op_type
            or kinds != ["Reshape", "Mul", "Cast"]
            or view.tensors[name].data_type != kind
        ):
            return None
        shape = tuple(view.array(f"{layer.stem}weight/shape").tolist())
        return Stored(shape, lambda: view.array(name).astype(np.int8).reshape(shape) != 0)

    def size(self, layer: WeightedNode, shape: tuple[int, ...]) -> int:
        """Whole blocks, and 4 bytes a scale."""
        weights = int(np.prod(shape))
        if layer.layer.op_type in NATIVE:
            blocks = shape[1] * -(-shape[0] // BLOCK)
            return blocks * (BLOCK * self.bits // 8 + 4)
        scales = weights // block_size(columns_of(layer, shape))
        return -(-weights * self.bits // 8) + 4 * scales + 8 * len(shape)


class W8(Blocks):
    """`w8`."""

    bits = 8


class W4(Blocks):
    """`w4`."""

    bits = 4


def _packed(codes: Array, bits: int) -> Array:
    """Codes of shape (out, in) as `MatMulNBits` reads them: uint8 (out, blocks, bytes), low nibble
    first, with the operator's default zero point, 2^(bits - 1)."""
    outputs, inputs = codes.shape
    blocks = -(-inputs // BLOCK)
    stored = np.full((outputs, blocks * BLOCK), 2 ** (bits - 1), np.uint8)
    stored[:, :inputs] = codes + 2 ** (bits - 1)
    if bits == 4:
        stored = stored[:, 0::2] | (stored[:, 1::2] << 4)
    return stored.reshape(outputs, blocks, -1)


def _unpacked(stored: Array, values: Mapping[str, int]) -> Array:
    """The inverse, shape (in, out)."""
    if values["bits"] == 4:
        stored = np.stack([stored & 15, stored >> 4], axis=-1)
    rows = stored.reshape(values["N"], -1)[:, : values["K"]]
    codes: Array = rows.T.astype(np.int16) - 2 ** (values["bits"] - 1)
    return codes
