"""What an ONNX model takes: names, element types and shapes of its inputs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from paretune.errors import UserError

_NO_NUMBERS = {onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING}
_NUMBERS = frozenset(onnx.helper.get_all_tensor_dtypes()) - _NO_NUMBERS


@dataclass(frozen=True)
class ModelInput:
    """One input of a model.

    Attributes:
        name: of the input.
        dtype: element type, or None if it is no numeric tensor (a string, a sequence, ...).
        shape: per dimension a number, or None where it is free; None for an unknown rank.
        required: False if an initializer of the same name is its default.
    """

    name: str
    dtype: np.dtype[Any] | None
    shape: tuple[int | None, ...] | None
    required: bool

    def __str__(self) -> str:
        dims = (
            "..."
            if self.shape is None
            else ", ".join("?" if d is None else str(d) for d in self.shape)
        )
        return f"'{self.name}' {self.dtype or 'unsupported'} ({dims})"


def model_inputs(model: Path) -> tuple[ModelInput, ...]:
    """Read the inputs of an ONNX file, without its external data.

    Raises:
        UserError: the file is missing or no ONNX model.
    """
    graph = _graph(model)
    defaults = {tensor.name for tensor in graph.initializer}
    return tuple(_describe(value, value.name not in defaults) for value in graph.input)


def model_outputs(model: Path) -> tuple[str, ...]:
    """Read the names of the outputs of an ONNX file.

    Raises:
        UserError: the file is missing or no ONNX model.
    """
    return tuple(value.name for value in _graph(model).output)


def _graph(model: Path) -> onnx.GraphProto:
    try:
        return onnx.load(model, load_external_data=False).graph
    except FileNotFoundError:
        raise UserError(f"no model file '{model}'") from None
    except Exception as error:
        raise UserError(f"'{model}' cannot be read as an ONNX model: {error}") from error


def _describe(value: onnx.ValueInfoProto, required: bool) -> ModelInput:
    tensor = value.type.tensor_type
    if tensor.elem_type not in _NUMBERS:
        return ModelInput(value.name, None, None, required)
    shape = (
        tuple(d.dim_value if d.dim_value > 0 else None for d in tensor.shape.dim)
        if tensor.HasField("shape")
        else None
    )
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    return ModelInput(value.name, dtype, shape, required)
