"""Integer only: a proof that an artifact computes with integers from its inputs to its outputs."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper

from paretune.errors import Infeasible, UserError
from paretune.search.backends.onnx.assembly import assemble
from paretune.search.backends.onnx.operators import LAYERS, has_integer_kernel
from paretune.search.backends.onnx.parts import Parts
from paretune.search.backends.onnx.pieces import PieceStore
from paretune.search.backends.onnx.techniques import capabilities
from paretune.spaces import Capabilities, Choice, Policy, Precision

_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
_LARGE_BYTES = 1024


def check_integer_only(parts: Parts) -> None:
    """See that a policy can be integer only.

    Raises:
        UserError: not even the one where all layers are int8; every operator in the way is named.
    """
    int8, table = Precision.INT8, capabilities().precisions
    choices = {
        name: Choice(int8 if (int8, layer.layer.op_type) in table else Precision.FP32)
        for name, layer in parts.layers.items()
    }
    with TemporaryDirectory(prefix="paretune-") as folder:
        # Its nodes are the same, whatever the weights.
        cheap = replace(parts, naive=True, store=PieceStore(Path(folder)))
        try:
            refuse_floats(assemble(cheap, Policy.of(choices)))
        except Infeasible as error:
            raise UserError(f"backend.integer_only: {error}") from None


def integer_table(known: Capabilities) -> Capabilities:
    """What is left of a runtime's table: int8."""
    left = {key: support for key, support in known.precisions.items() if key[0] == Precision.INT8}
    return replace(known, precisions=left)


def refuse_floats(model: ModelProto) -> None:
    """See that an artifact is integer only.

    Raises:
        Infeasible: it is not; every operator in the way is named.
    """
    if found := float_operators(model):
        raise Infeasible(f"these operators compute with floats: {', '.join(found)}")


def float_operators(model: ModelProto) -> list[str]:
    """The nodes between the quantized inputs and the outputs that compute with floats.

    A node counts as computing with integers if it touches no float tensor, or if it has an integer
    kernel, all floats that it reads come from `DequantizeLinear` and all that it writes go to
    `QuantizeLinear` only: what a runtime replaces by one integer operator. A `QuantizeLinear` may
    read the model's inputs and such nodes.

    Args:
        model: an artifact.

    Returns:
        `NAME (TYPE)` of each, in graph order; empty if there is none. Those that could be integer,
        were it not for others, are left out where there are others.
    """
    walk = _Walk(model)
    offending = list(walk.offending())
    causes = [node for node in offending if not walk.could_be_integer(node)]
    return [f"{node.name} ({node.op_type})" for node in causes or offending]


class _Walk:
    def __init__(self, model: ModelProto) -> None:
        self.nodes = list(model.graph.node)
        self.types = _element_types(model)
        self.producers = {name: node for node in self.nodes for name in node.output}
        self.readers = Counter(name for node in self.nodes for name in node.input)
        self.quantized = Counter(n.input[0] for n in self.nodes if n.op_type == "QuantizeLinear")
        self.constants = {tensor.name for tensor in model.graph.initializer}
        self.outputs = {value.name for value in model.graph.output}

    def offending(self) -> Iterator[NodeProto]:
        for node in self.nodes:
            match node.op_type:
                case "DequantizeLinear":
                    fine = True
                case "QuantizeLinear":
                    # Rounding again what was rounded already scales it, in floats.
                    fine = self._maker(node.input[0]) != "DequantizeLinear"
                case _:
                    fine = not self._touches_floats(node) or self._becomes_integer(node)
            if not fine:
                yield node

    def could_be_integer(self, node: NodeProto) -> bool:
        """Whether it is so with other nodes around it."""
        of_floats = node.op_type in LAYERS and self._maker(node.input[1]) != "DequantizeLinear"
        return has_integer_kernel(node) and not of_floats

    def _touches_floats(self, node: NodeProto) -> bool:
        if node.op_type in ("Shape", "Size"):
            return False
        if any(attribute.type == AttributeProto.GRAPH for attribute in node.attribute):
            return True
        return any(self._is_float(name) for name in (*node.input, *node.output))

    def _becomes_integer(self, node: NodeProto) -> bool:
        if not self.could_be_integer(node):
            return False
        settings = self.constants if node.op_type == "Resize" else set()
        read = [name for name in node.input if self._is_float(name) and name not in settings]
        written = [name for name in node.output if self._is_float(name)]
        return all(self._maker(name) == "DequantizeLinear" for name in read) and all(
            self.readers[name] == self.quantized[name] > 0 and name not in self.outputs
            for name in written
        )

    def _maker(self, tensor: str) -> str:
        return self.producers[tensor].op_type if tensor in self.producers else ""

    def _is_float(self, tensor: str) -> bool:
        # A type that nobody knows might be one.
        return bool(tensor) and self.types.get(tensor, TensorProto.FLOAT) in _FLOATS


def _element_types(model: ModelProto) -> dict[str, int]:
    """Of all tensors, as far as they can be told."""
    shell = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    shell.graph.name = model.graph.name
    shell.graph.node.extend(model.graph.node)
    shell.graph.input.extend(model.graph.input)
    shell.graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        # Inference copies the model, and needs no weights.
        if tensor.ByteSize() > _LARGE_BYTES:
            dims = list(tensor.dims)
            shell.graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, dims)
            )
        else:
            shell.graph.initializer.append(tensor)
    inferred = onnx.shape_inference.infer_shapes(shell).graph
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in inferred.initializer}
