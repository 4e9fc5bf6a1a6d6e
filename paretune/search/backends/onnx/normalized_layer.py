"""Folding an input's normalization into the weights and the bias of the layer that reads it."""

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto

from paretune.search.backends.onnx.graph import (
    Array,
    Constants,
    attributes,
    put_constant,
    reads,
    unused_name,
)


@dataclass(frozen=True)
class Affine:
    """`factor * x + offset`, both of a shape that fits the tensor `x`, with one sample."""

    factor: Array
    offset: Array

    @property
    def nothing(self) -> bool:
        return bool(np.all(self.factor == 1) and not self.offset.any())

    def flattened(self, shape: tuple[int, ...]) -> "Affine":
        """Of `x` as (samples, values).

        Args:
            shape: of `x`.
        """
        one = (1, *shape[1:])
        factor, offset = (
            np.broadcast_to(array, one).reshape(1, -1) for array in (self.factor, self.offset)
        )
        return Affine(factor, offset)


@dataclass(frozen=True)
class Absorbed:
    """The layer now reads `x` itself.

    Attributes:
        widened: and as its last channel one that is constant.
    """

    widened: bool = False


def absorb(
    model: ModelProto,
    tensor: str,
    shapes: dict[str, tuple[int, ...]],
    applied: Affine,
    constant: float,
) -> Absorbed | None:
    """Let the layer that reads `tensor` compute what it would if `applied` came before.

    Args:
        model: clean; changed in place.
        tensor: `x`.
        shapes: of `tensor` and of all that the nodes of `model` write.
        applied: to `x`.
        constant: value of the channel that a convolution with padded borders reads in addition:
            a bias would also be added where the border's zeros are.

    Returns:
        None where nothing was changed, since there is no such layer.
    """
    shape = shapes[tensor]
    reader = _sole_reader(model, tensor)
    while reader is not None and reader.op_type == "Flatten":
        if attributes(reader).get("axis", 1) != 1:
            return None
        applied = applied.flattened(shape)
        tensor, shape = reader.output[0], applied.factor.shape
        reader = _sole_reader(model, tensor)
    if reader is None or reader.domain or reader.input[0] != tensor or len(reader.input) < 2:
        return None
    constants = Constants(model.graph)
    if any(name and name not in constants for name in reader.input[1:]):
        return None
    match reader.op_type:
        case "Conv":
            return _into_convolution(model, reader, constants, applied, constant)
        case "Gemm" | "MatMul" if len(shape) == 2:
            return _into_product(model, reader, constants, applied.flattened(shape))
        case _:
            return None


def _into_convolution(
    model: ModelProto, node: NodeProto, constants: Constants, applied: Affine, constant: float
) -> Absorbed | None:
    values, weight = attributes(node), constants[node.input[1]].astype(np.float64)
    channels = weight.shape[1]
    if values.get("group", 1) != 1 or applied.factor.size not in (1, channels):
        return None
    if applied.factor.size > 1 and applied.factor.shape[1] != channels:
        return None
    factor = np.broadcast_to(applied.factor.reshape(-1), channels)
    offset = np.broadcast_to(applied.offset.reshape(-1), channels)
    added = np.einsum("oc...,c->o...", weight, offset)
    weight = weight * factor.reshape(-1, *[1] * (weight.ndim - 2))
    padded = any(values.get("pads", ())) or values.get("auto_pad", b"").startswith(b"SAME")
    if padded and offset.any():
        weight = np.concatenate([weight, added[:, None] / constant], axis=1)
        _give(model, node, 1, weight, "weight")
        return Absorbed(widened=True)
    _give(model, node, 1, weight, "weight")
    _add_to_bias(model, node, constants, added.reshape(len(added), -1).sum(1))
    return Absorbed()


def _into_product(
    model: ModelProto, node: NodeProto, constants: Constants, applied: Affine
) -> Absorbed | None:
    weight = constants[node.input[1]].astype(np.float64)
    if weight.ndim != 2 or node.attribute:
        return None
    if len(node.input) > 2 and node.input[2] and constants[node.input[2]].ndim != 1:
        return None
    node.op_type = "Gemm"
    _give(model, node, 1, weight * applied.factor.reshape(-1, 1), "weight")
    _add_to_bias(model, node, constants, applied.offset.reshape(-1) @ weight)
    return Absorbed()


def _add_to_bias(model: ModelProto, node: NodeProto, constants: Constants, added: Array) -> None:
    if not added.any():
        return
    before = constants[node.input[2]] if len(node.input) > 2 and node.input[2] else 0
    _give(model, node, 2, before + added, "bias")


def _give(model: ModelProto, node: NodeProto, index: int, array: Array, what: str) -> None:
    """A constant of the node's own: another node may read the old one as it was."""
    name = unused_name(model, f"{node.name}:{what}")
    put_constant(model, name, array.astype(np.float32))
    if index == len(node.input):
        node.input.append(name)
    else:
        node.input[index] = name


def _sole_reader(model: ModelProto, tensor: str) -> NodeProto | None:
    readers = [node for node in model.graph.node if tensor in reads(node)]
    outputs = {value.name for value in model.graph.output}
    return readers[0] if len(readers) == 1 and tensor not in outputs else None
