"""Reading back: what a model file really holds, whatever was asked for."""

from collections.abc import Iterable, Mapping

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from paretune.errors import Infeasible
from paretune.search.backends.onnx.graph import Array, attributes
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.pruning import zeros_for
from paretune.spaces import NM, Channel, Choice, Dense, Policy, Precision, Sparsity, Unstructured


def read_policy(model: ModelProto, layers: Iterable[WeightedNode], asked: Policy) -> Policy:
    """The policy that the nodes and constants of `model` bear out.

    Args:
        model: an artifact.
        layers: of the uncompressed graph.
        asked: tells which pattern of zeros to look for; anything that it asks for and the model
            does not have reads back as something else.

    Raises:
        Infeasible: a layer is not in the model in any known form.
    """
    reader = _Reader(model)
    return Policy.of({layer.name: reader.choice(layer, asked[layer.name]) for layer in layers})


class _Reader:
    def __init__(self, model: ModelProto) -> None:
        self.nodes = {node.name: node for node in model.graph.node}
        self.producers = {name: node for node in model.graph.node for name in node.output}
        self.constants: Mapping[str, TensorProto] = {t.name: t for t in model.graph.initializer}

    def choice(self, layer: WeightedNode, asked: Choice) -> Choice:
        node = self.nodes.get(layer.name)
        if node is None:
            raise Infeasible(f"{layer.name}: the artifact has no such layer")
        precision, tensor = self._weight(layer, node)
        if isinstance(asked.sparsity, Unstructured | NM):
            weight = self._unpacked(layer, node, precision, tensor)
            return Choice(precision, _zeros(layer, weight, asked.sparsity))
        return Choice(precision, self._channels(layer, node, precision, tensor))

    def _weight(self, layer: WeightedNode, node: NodeProto) -> tuple[Precision, TensorProto]:
        """Precision of the layer and its stored weight."""
        kind = node.op_type
        if kind == "MatMulNBits":
            bits = attributes(node)["bits"]
            return (Precision.W8 if bits == 8 else Precision.W4), self.constants[node.input[1]]
        if kind == "MatMulInteger" and self._made_by(node.input[0], "DynamicQuantizeLinear"):
            return Precision.INT8_DYNAMIC, self.constants[node.input[1]]
        if kind != layer.layer.op_type:
            raise Infeasible(f"{layer.name}: is a {kind} in the artifact")
        gathers = kind == "Gather"
        name, data = node.input[0 if gathers else 1], node.input[1 if gathers else 0]
        chain = []
        while name not in self.constants:
            chain.append(self.producers[name].op_type)
            name = self.producers[name].input[0]
        tensor = self.constants[name]
        match chain, tensor.data_type:
            case [], TensorProto.FLOAT:
                return Precision.FP32, tensor
            case ["Cast"], TensorProto.FLOAT16:
                return Precision.FP16, tensor
            case ["DequantizeLinear"], TensorProto.INT8 if self._made_by(data, "DequantizeLinear"):
                return Precision.INT8, tensor
            case ["Reshape", "Mul", "Cast"], TensorProto.INT8:
                return Precision.W8, tensor
            case ["Reshape", "Mul", "Cast"], TensorProto.INT4:
                return Precision.W4, tensor
        raise Infeasible(f"{layer.name}: its weight is stored in an unknown form {chain}")

    def _made_by(self, tensor: str, kind: str) -> bool:
        return tensor in self.producers and self.producers[tensor].op_type == kind

    def _channels(
        self, layer: WeightedNode, node: NodeProto, precision: Precision, tensor: TensorProto
    ) -> Sparsity:
        before = layer.layer.weight_shape[layer.out_axis]
        if node.op_type == "MatMulNBits":
            after = int(attributes(node)["N"])
        elif precision in (Precision.W8, Precision.W4):
            after = int(self._stored_shape(layer)[layer.out_axis])
        else:
            after = tensor.dims[layer.out_axis]
        # The same text as a canonical policy writes.
        amount = float(f"{1 - after / before:g}")
        return Channel(amount) if amount else Dense()

    def _stored_shape(self, layer: WeightedNode) -> Array:
        return numpy_helper.to_array(self.constants[f"{layer.stem}weight/shape"])

    def _unpacked(
        self, layer: WeightedNode, node: NodeProto, precision: Precision, tensor: TensorProto
    ) -> Array:
        """Whether each weight is non-zero, in the shape of the layer's weight."""
        stored = numpy_helper.to_array(tensor)
        if node.op_type == "MatMulNBits":
            values = attributes(node)
            if values["bits"] == 4:
                stored = np.stack([stored & 15, stored >> 4], axis=-1)
            rows = stored.reshape(values["N"], -1)[:, : values["K"]]
            stored = rows.T.astype(np.int16) - 2 ** (values["bits"] - 1)
        elif precision in (Precision.W8, Precision.W4):
            stored = stored.astype(np.int8).reshape(self._stored_shape(layer))
        nonzero: Array = stored != 0
        return nonzero


def _zeros(layer: WeightedNode, kept: Array, asked: Unstructured | NM) -> Sparsity:
    if isinstance(asked, Unstructured):
        enough = kept.size - np.count_nonzero(kept) >= zeros_for(asked.amount, kept.size)
        return asked if enough else Dense()
    last = np.moveaxis(kept, layer.in_axis, -1)
    full = last.shape[-1] // asked.m * asked.m
    blocks = last[..., :full].reshape(-1, asked.m)
    return asked if (np.count_nonzero(blocks, axis=1) <= asked.n).all() else Dense()
