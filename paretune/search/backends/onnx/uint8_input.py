"""Inputs as bytes: artifacts take pixels, and the normalization becomes a part of the model."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from paretune.errors import UserError
from paretune.evaluators import Batch
from paretune.names import nearest
from paretune.search.backends.onnx.graph import (
    Array,
    drop_unused_constants,
    names_of,
    put_constant,
    replace_nodes,
)
from paretune.search.backends.onnx.normalized_layer import Affine, absorb

_WHOLE = 1e-4
"""A mean this near to a whole level is one, in levels: the rest is the mean's own rounding."""


def _listed(value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return [value] if number else value


class Normalization(BaseModel):
    """What the model's training made of a byte: `(byte / divisor - mean) / std`.

    Attributes:
        mean, std: one number, or one for each index of `axis`.
        divisor: 255 where `mean` and `std` are those of numbers from 0 to 1, else 1.
        axis: of the channels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: Annotated[tuple[float, ...], BeforeValidator(_listed), Field(min_length=1)] = (0.0,)
    std: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...], BeforeValidator(_listed), Field(min_length=1)
    ] = (1.0,)
    divisor: float = Field(default=255.0, gt=0)
    axis: int = 1

    def of(self, pixels: Array) -> Array:
        """float32 of the shape of `pixels`."""
        shape = [1] * pixels.ndim
        shape[self.axis] = -1
        mean, std = (np.array(values).reshape(shape) for values in (self.mean, self.std))
        found: Array = ((pixels / self.divisor - mean) / std).astype(np.float32)
        return found


def normalized(batch: Batch, inputs: Mapping[str, Normalization]) -> Batch:
    """What the model itself takes."""
    arrays = {n: inputs[n].of(x) if n in inputs else x for n, x in batch.inputs.items()}
    return Batch(arrays, batch.targets)


def check_uint8(
    model: ModelProto, batches: Sequence[Batch], inputs: Mapping[str, Normalization]
) -> None:
    """See that these inputs can be bytes.

    Raises:
        UserError: the model has no such input, or not as float32; the data are no bytes; or the
            normalization has another number of channels.
    """
    known = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
    for name, how in inputs.items():
        where = f"backend.uint8_inputs.{name}"
        if name not in known:
            raise UserError(f"{where}: the model has no input '{name}'{nearest(name, [*known])}")
        if known[name] != TensorProto.FLOAT:
            kind = TensorProto.DataType.Name(known[name]).lower()
            raise UserError(f"{where}: the model takes it as {kind}; only float32 becomes uint8")
        for batch in batches:
            array = batch.inputs.get(name)
            if array is None or array.dtype != np.uint8:
                got = "none" if array is None else array.dtype
                raise UserError(f"{where}: the data must be uint8, but got {got}")
            if not -array.ndim <= how.axis < array.ndim or how.axis % array.ndim == 0:
                raise UserError(
                    f"{where}.axis: {how.axis} is no channel axis of data of shape {array.shape}"
                )
            for key, values in (("mean", how.mean), ("std", how.std)):
                if len(values) not in (1, channels := array.shape[how.axis]):
                    raise UserError(
                        f"{where}.{key}: {len(values)} values, but the data have {channels}"
                        f" channels at axis {how.axis}"
                    )


def take_uint8(
    model: ModelProto, shapes: dict[str, tuple[int, ...]], inputs: Mapping[str, Normalization]
) -> None:
    """Let the model take bytes.

    One `DequantizeLinear` stands for the normalization: a layer that runs in int8 then reads the
    bytes themselves. What differs between channels, or is no whole number of levels, goes into the
    weights of the layer behind, exactly, also at its padded borders; where no such layer is, a
    `Mul` and an `Add` do it.

    Args:
        model: clean; changed in place.
        shapes: of every tensor, as observed; shapes of new tensors are added.
        inputs: name to what its bytes mean.
    """
    for name, how in inputs.items():
        value = next(value for value in model.graph.input if value.name == name)
        value.type.tensor_type.elem_type = TensorProto.UINT8
        _Entry(model, shapes, name).insert(how)
    drop_unused_constants(model)


class _Entry:
    """What comes between one input and its readers."""

    def __init__(self, model: ModelProto, shapes: dict[str, tuple[int, ...]], name: str) -> None:
        self.model = model
        self.shapes = shapes
        self.name = name
        self.stem = f"{name}:uint8"
        while any(used.startswith(self.stem) for used in names_of(model.graph)):
            self.stem += "_"
        self.nodes: list[NodeProto] = []

    def insert(self, how: Normalization) -> None:
        scale, zero_point, left = self._split(how)
        values = f"{self.stem}:float"
        self.shapes[values] = self.shapes[self.name]
        self._redirect(values)
        source, behind = self.name, values
        if not left.nothing:
            # The farther from 0, the smaller are the weights of a channel that is constant.
            constant = 255 if zero_point < 128 else 0
            value = scale * (constant - zero_point)
            absorbed = absorb(self.model, values, self.shapes, left, value)
            if absorbed is None:
                behind = f"{self.stem}:normalized"
                self._redirect(behind, values)
            elif absorbed.widened:
                source = self._widened(constant)
                self.shapes[values] = self.shapes[source]
        self._node(
            "DequantizeLinear",
            [source],
            values,
            scale=np.array(scale, np.float32),
            zero_point=np.array(zero_point, np.uint8),
        )
        if behind != values:
            scaled = f"{self.stem}:scaled"
            self._node("Mul", [values], scaled, factor=left.factor.astype(np.float32))
            self._node("Add", [scaled], behind, offset=left.offset.astype(np.float32))
            self.shapes[scaled] = self.shapes[behind] = self.shapes[values]
        replace_nodes(self.model, [*self.nodes, *self.model.graph.node])

    def _split(self, how: Normalization) -> tuple[float, int, Affine]:
        """Scale and zero point for all channels, and what is left to do behind them."""
        std, mean = np.broadcast_arrays(np.array(how.std), how.divisor * np.array(how.mean))
        steps = 1 / (how.divisor * std)
        scale = float(np.float32(steps.mean()))
        zero_point = int(np.clip(np.round(mean.mean()), 0, 255))
        offset = steps * (zero_point - mean)
        offset[np.abs(zero_point - mean) < _WHOLE] = 0
        factor = steps / scale
        factor[np.abs(factor - 1) < np.finfo(np.float32).eps] = 1
        shape = [1] * len(self.shapes[self.name])
        shape[how.axis] = -1
        return scale, zero_point, Affine(factor.reshape(shape), offset.reshape(shape))

    def _widened(self, constant: int) -> str:
        """The bytes with one more channel."""
        target, shape = f"{self.stem}:widened", self.shapes[self.name]
        pads = np.zeros((2, len(shape)), np.int64)
        pads[1, 1] = 1
        self.shapes[target] = (shape[0], shape[1] + 1, *shape[2:])
        value = np.array(constant, np.uint8)
        self._node("Pad", [self.name], target, pads=pads.reshape(-1), value=value)
        return target

    def _redirect(self, target: str, source: str = "") -> None:
        for node in self.model.graph.node:
            _read_instead(node, source or self.name, target)

    def _node(self, kind: str, inputs: Sequence[str], output: str, **constants: Array) -> None:
        for key, array in constants.items():
            put_constant(self.model, f"{output}:{key}", array)
        parts = [*inputs, *(f"{output}:{key}" for key in constants)]
        self.nodes.append(helper.make_node(kind, parts, [output], f"{output}:{kind}"))


def _read_instead(node: NodeProto, name: str, other: str) -> None:
    for index, read in enumerate(node.input):
        if read == name:
            node.input[index] = other
    for attribute in node.attribute:
        for inner in attribute.g.node:
            _read_instead(inner, name, other)
