"""Assembling: a graph and a policy become a model."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from paretune.errors import Infeasible
from paretune.search.backends.onnx.calibration import Statistics
from paretune.search.backends.onnx.channels import ChannelMap
from paretune.search.backends.onnx.graph import Array, Graph, reads
from paretune.search.backends.onnx.int8 import Int8Plan, plan_int8
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.operators import MOVING
from paretune.search.backends.onnx.pieces import PieceStore
from paretune.search.backends.onnx.quantize import (
    activation_parameters,
    int32_bias,
    least_weight_scale,
)
from paretune.search.backends.onnx.removal import Removal
from paretune.search.backends.onnx.weights import (
    BITS,
    BLOCK,
    NATIVE_BLOCKS,
    LayerWeights,
    encode,
)
from paretune.spaces import Channel, Choice, Dense, Policy, Precision

MICROSOFT = "com.microsoft"
"""ONNX Runtime's own operator domain, which has `MatMulNBits`."""


@dataclass(frozen=True)
class Parts:
    """All that assembling needs; the same for every policy.

    Attributes:
        graph: clean.
        layers: name to layer, in graph order.
        channels: of the graph.
        order: group name to its atoms, most important first.
        statistics: from calibration.
        store: of encoded weights.
    """

    graph: Graph
    layers: Mapping[str, WeightedNode]
    channels: ChannelMap
    order: Mapping[str, Array]
    statistics: Statistics
    store: PieceStore


def assemble(parts: Parts, policy: Policy) -> ModelProto:
    """The model that `policy` means.

    Raises:
        Infeasible: a choice cannot be honoured.
    """
    return _Assembler(parts, policy).run()


class _Assembler:
    def __init__(self, parts: Parts, policy: Policy) -> None:
        self.parts = parts
        self.graph = parts.graph
        self.mark = parts.graph.mark
        self.policy = policy
        ranges = parts.statistics.ranges
        int8 = frozenset(name for name, c in policy if c.precision is Precision.INT8)
        for name in int8:
            if parts.layers[name].data not in ranges:
                raise Infeasible(f"{name}: int8 needs a calibrated float input")
        self.plan: Int8Plan = plan_int8(self.graph, int8, ranges)
        self.removal = Removal.of(policy, parts.channels, parts.order)
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}
        self.made: set[str] = set()

    def run(self) -> ModelProto:
        for node in self.graph.nodes:
            if node.name in self.plan.swallowed:
                continue
            if layer := self.parts.layers.get(node.name):
                self._layer(layer, self.policy[layer.name])
            else:
                self._operator(node)
        model = ModelProto()
        model.CopyFrom(_without_body(self.graph.model))
        model.graph.node.extend(self.nodes)
        if any(node.domain == MICROSOFT for node in self.nodes):
            known = {opset.domain for opset in model.opset_import}
            if MICROSOFT not in known:
                model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
        self._plain_constants()
        model.graph.initializer.extend(self.constants.values())
        return model

    # Nodes

    def _operator(self, node: NodeProto) -> None:
        copy = NodeProto()
        copy.CopyFrom(node)
        if node.name in self.plan.nodes:
            moved = 1 if node.op_type in MOVING else len(node.input)
            for index in range(moved):
                copy.input[index] = self._int8_input(node.input[index])
        self._emit(copy)

    def _layer(self, layer: WeightedNode, choice: Choice) -> None:
        if choice.precision is Precision.FP32 and isinstance(choice.sparsity, Dense | Channel):
            # As it was, but for removed channels: also where layers share one weight.
            self._weighted(layer, layer.data, layer.weight)
            return
        self._encode(layer, choice)
        weight = f"{layer.stem}weight"
        match choice.precision:
            case Precision.FP32:
                self._weighted(layer, layer.data, weight)
            case Precision.FP16:
                self._weighted(layer, layer.data, self._cast(weight))
            case Precision.INT8:
                self._static(layer, weight)
            case Precision.INT8_DYNAMIC:
                self._dynamic(layer, weight)
            case Precision.W8 | Precision.W4 if layer.layer.op_type in NATIVE_BLOCKS:
                self._blocks(layer, weight, BITS[choice.precision])
            case Precision.W8 | Precision.W4:
                self._weighted(layer, layer.data, self._decoded(weight))

    def _weighted(self, layer: WeightedNode, data: str, weight: str, bias: str = "") -> None:
        """The layer's own node, reading `data` and `weight`."""
        node = NodeProto()
        node.CopyFrom(layer.node)
        node.name = layer.name
        gathers = layer.layer.op_type == "Gather"
        node.input[0 if gathers else 1] = weight
        node.input[1 if gathers else 0] = data
        if bias:
            node.input[2] = bias
        if layer.depthwise:
            kept = self.removal.kept(layer.weight, 0, layer.layer.weight_shape[0])
            next(a for a in node.attribute if a.name == "group").i = len(kept)
        self._emit(node)

    def _static(self, layer: WeightedNode, weight: str) -> None:
        parameters = self.plan.parameters[layer.data]
        data = self._int8_input(layer.data)
        decoded = f"{weight}/float"
        scales = [weight, f"{weight}/scale", f"{weight}/zero_point"]
        self._node("DequantizeLinear", scales, decoded, axis=layer.out_axis)
        bias = ""
        if layer.bias:
            bias = f"{layer.stem}bias"
            scale = numpy_helper.to_array(self.constants[f"{weight}/scale"])
            found = int32_bias(self._constant(layer.bias), parameters.scale, scale)
            self._put(found.values, bias)
            self._put(found.scale, f"{bias}/scale")
            self._put(found.zero_point, f"{bias}/zero_point")
            names = [bias, f"{bias}/scale", f"{bias}/zero_point"]
            bias = f"{bias}/float"
            self._node("DequantizeLinear", names, bias, axis=0)
        self._weighted(layer, data, decoded, bias)

    def _dynamic(self, layer: WeightedNode, weight: str) -> None:
        data = layer.data
        dynamic = f"{data}{self.mark}dynamic"
        quantized = [dynamic, f"{dynamic}/scale", f"{dynamic}/zero_point"]
        if dynamic not in self.made:
            self.made.add(dynamic)
            self.nodes.append(
                helper.make_node("DynamicQuantizeLinear", [data], quantized, f"{dynamic}/node")
            )
        stem = f"{layer.stem}product"
        # ONNX Runtime fuses exactly this form into one kernel.
        self.nodes.append(
            helper.make_node(
                "MatMulInteger",
                [dynamic, weight, quantized[2], f"{weight}/zero_point"],
                [f"{stem}/int32"],
                layer.name,
            )
        )
        self._node("Cast", [f"{stem}/int32"], f"{stem}/float", to=TensorProto.FLOAT)
        self._node("Mul", [quantized[1], f"{weight}/scale"], f"{stem}/scale")
        product = stem if layer.bias else layer.node.output[0]
        self._node("Mul", [f"{stem}/float", f"{stem}/scale"], product)
        self._add_bias(layer, product)

    def _blocks(self, layer: WeightedNode, weight: str, bits: int) -> None:
        shape = self._kept_shape(layer)
        product = f"{layer.stem}product" if layer.bias else layer.node.output[0]
        self.nodes.append(
            helper.make_node(
                "MatMulNBits",
                [layer.data, weight, f"{weight}/scale"],
                [product],
                layer.name,
                domain=MICROSOFT,
                K=shape[0],
                N=shape[1],
                bits=bits,
                block_size=BLOCK,
                # Computes in int8; measured, levels 0 and 1 are slower than fp32.
                accuracy_level=4,
            )
        )
        self._add_bias(layer, product)

    def _add_bias(self, layer: WeightedNode, product: str) -> None:
        if layer.bias:
            self._node("Add", [product, layer.bias], layer.node.output[0])

    def _cast(self, weight: str) -> str:
        self._node("Cast", [weight], f"{weight}/float", to=TensorProto.FLOAT)
        return f"{weight}/float"

    def _decoded(self, weight: str) -> str:
        """Cast, scale and shape: ONNX Runtime folds this once, when it loads the model.

        A DequantizeLinear would be computed again at every run.
        """
        self._cast(weight)
        self._node("Mul", [f"{weight}/float", f"{weight}/scale"], f"{weight}/scaled")
        self._node("Reshape", [f"{weight}/scaled", f"{weight}/shape"], f"{weight}/decoded")
        return f"{weight}/decoded"

    # Tensors in int8

    def _emit(self, node: NodeProto) -> None:
        """Add a node of the graph; if it writes uint8, its float output is rounded behind it."""
        target = self.plan.written.get(node.name)
        if target is None:
            self.nodes.append(node)
            return
        node.output[0] = f"{target}{self.mark}raw"
        self.nodes.append(node)
        self._round_trip(target, node.output[0], target)

    def _int8_input(self, tensor: str) -> str:
        """The float view of `tensor` that holds only values which uint8 can represent."""
        if tensor in self.plan.written.values():
            return tensor
        rounded = f"{tensor}{self.mark}rounded"
        if rounded not in self.made:
            self.made.add(rounded)
            self._round_trip(tensor, tensor, rounded)
        return rounded

    def _round_trip(self, tensor: str, source: str, target: str) -> None:
        parameters = self.plan.parameters[tensor]
        origin = f"{parameters.source}{self.mark}"
        scale, zero_point = f"{origin}scale", f"{origin}zero_point"
        self._put(parameters.scale, scale)
        self._put(parameters.zero_point, zero_point)
        stored = f"{tensor}{self.mark}uint8"
        self._node("QuantizeLinear", [source, scale, zero_point], stored)
        self._node("DequantizeLinear", [stored, scale, zero_point], target)

    # Constants

    def _encode(self, layer: WeightedNode, choice: Choice) -> None:
        own = Dense() if isinstance(choice.sparsity, Channel) else choice.sparsity
        choice = Choice(choice.precision, own)
        key = f"{layer.name}+{choice}{self.removal.key(layer.weight)}"
        for tensor in self.parts.store.get(key, lambda: encode(self._weights(layer), choice)):
            self.constants[tensor.name] = tensor

    def _weights(self, layer: WeightedNode) -> LayerWeights:
        moment = self.parts.statistics.moments.get(layer.name)
        if moment is not None:
            axis = 0 if layer.depthwise else layer.in_axis
            moment = moment[self.removal.kept(layer.weight, axis, len(moment))]
        least = None
        if layer.bias and layer.data in self.parts.statistics.ranges:
            scale, _ = activation_parameters(*self.parts.statistics.ranges[layer.data])
            least = least_weight_scale(self._constant(layer.bias), scale)
        return LayerWeights(layer, self._constant(layer.weight), moment, least)

    def _kept_shape(self, layer: WeightedNode) -> tuple[int, ...]:
        shape = layer.layer.weight_shape
        return tuple(len(self.removal.kept(layer.weight, a, n)) for a, n in enumerate(shape))

    def _constant(self, name: str) -> Array:
        return self.removal.cut(name, self.graph.constants[name])

    def _plain_constants(self) -> None:
        """Constants that the nodes read and that no layer encoded."""
        names = dict.fromkeys(name for node in self.nodes for name in reads(node))
        names |= dict.fromkeys(self.graph.outputs)
        for name in names:
            if name in self.graph.constants and name not in self.constants:
                if self.removal.touches(name):
                    self._put(self._constant(name), name)
                else:
                    self.constants[name] = self.graph.constants.tensors[name]

    def _put(self, array: Array, name: str) -> None:
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)

    def _node(self, kind: str, inputs: Iterable[str], output: str, **values: Any) -> None:
        # Not the tensor's name alone: many exporters give it to the node that wrote it.
        name = f"{output}{self.mark}{kind}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name, **values))


def _without_body(model: ModelProto) -> ModelProto:
    shell = ModelProto(
        ir_version=model.ir_version,
        producer_name="paretune",
        opset_import=model.opset_import,
        functions=model.functions,
        metadata_props=model.metadata_props,
    )
    shell.graph.name = model.graph.name
    shell.graph.input.extend(model.graph.input)
    shell.graph.output.extend(model.graph.output)
    return shell
