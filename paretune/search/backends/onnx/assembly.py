"""Assembling: a graph and a policy become a model."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from paretune.errors import Infeasible
from paretune.search.backends.onnx.biases import Bias, find_bias
from paretune.search.backends.onnx.compressing import Compressor
from paretune.search.backends.onnx.graph import Array, reads, shell
from paretune.search.backends.onnx.int8 import Int8Plan, plan_int8
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.operators import MOVING
from paretune.search.backends.onnx.parts import Parts
from paretune.search.backends.onnx.quantize import int32_bias
from paretune.search.backends.onnx.recounting import recount
from paretune.search.backends.onnx.removal import Removal
from paretune.search.backends.onnx.techniques import format_of
from paretune.search.backends.onnx.techniques.rank import parts_of
from paretune.spaces import Channel, Choice, Dense, LowRank, Policy, Precision


def assemble(parts: Parts, policy: Policy) -> ModelProto:
    """The model that `policy` means.

    Raises:
        Infeasible: a choice cannot be honoured.
    """
    return _Assembler(parts.without_dropped(policy), policy).run()


class _Assembler:
    def __init__(self, parts: Parts, policy: Policy) -> None:
        self.parts = parts
        self.graph = parts.graph
        self.mark = parts.graph.mark
        self.policy = policy
        ranges = parts.statistics.ranges
        int8 = frozenset(name for name, c in policy if c.precision == Precision.INT8)
        for name in int8:
            if parts.layers[name].data not in ranges:
                raise Infeasible(f"{name}: int8 needs a calibrated float input")
        throughout = parts.integer_only and bool(int8)
        self.plan: Int8Plan = plan_int8(
            self.graph, int8, ranges, parts.activations, throughout=throughout
        )
        self.removal = Removal.of(policy, parts.channels, parts.order)
        self.compressor = Compressor(parts, self.removal)
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}
        self.made: set[str] = set()
        self.corrected: dict[str, str] = {}
        """Name of an `Add` to the bias that it adds instead of its own."""

    def run(self) -> ModelProto:
        for node in self.graph.nodes:
            if node.name in self.plan.swallowed:
                continue
            if layer := self.parts.layers.get(node.name):
                self._layer(layer, self.policy[layer.name])
            else:
                self._operator(node)
        model = shell(self.graph.model)
        model.producer_name = "paretune"
        model.graph.node.extend(self.nodes)
        known = {opset.domain for opset in model.opset_import}
        for domain in sorted({node.domain for node in self.nodes} - known - {"ai.onnx"}):
            model.opset_import.append(helper.make_opsetid(domain, 1))
        self._plain_constants()
        model.graph.initializer.extend(
            tensor for name, tensor in self.constants.items() if name in self._read
        )
        return model

    # Nodes

    def _operator(self, node: NodeProto) -> None:
        copy = NodeProto()
        copy.CopyFrom(node)
        self._recount(copy)
        if bias := self.corrected.get(node.name):
            copy.input[next(i for i, x in enumerate(copy.input) if x in self.graph.constants)] = (
                bias
            )
        if node.name in self.plan.nodes:
            moved = 1 if node.op_type in MOVING else len(node.input)
            for index, read in enumerate(node.input[:moved]):
                constant = read in self.graph.constants
                name = copy.input[index]
                copy.input[index] = self._int8_constant(name) if constant else self.int8_input(name)
        self.emit(copy)

    def _recount(self, node: NodeProto) -> None:
        """Let the sizes that a node reads count the channels that are left."""
        counts = self.removal.counts(node.name)
        made, vectors = recount(self.graph, self.mark, node, counts)
        self.nodes.extend(made)
        for name, vector in vectors.items():
            self.put(vector, name)

    def _layer(self, layer: WeightedNode, choice: Choice) -> None:
        place = _LayerPlace(self, layer)
        untouched = isinstance(choice.sparsity, Dense | Channel) and not self.compressor.refits(
            layer
        )
        if choice.precision == Precision.FP32 and untouched:
            # As it was, but for removed channels: also where layers share one weight.
            place.own(layer.weight)
            return
        self._encode(layer, choice)
        places = [place]
        if isinstance(choice.sparsity, LowRank):
            record = self.constant(f"{layer.stem}factors")
            places = [_LayerPlace(self, part) for part in parts_of(layer, place.shape, record)]
        for one in places:
            format_of(choice.precision).emit(one)

    # Tensors in int8

    def emit(self, node: NodeProto) -> None:
        """Add a node of the graph; if it writes integers, its float output is rounded behind it."""
        target = self.plan.written.get(node.name)
        if target is None:
            self.nodes.append(node)
            return
        node.output[0] = f"{target}{self.mark}raw"
        self.nodes.append(node)
        self._round_trip(target, node.output[0], target)

    def int8_input(self, tensor: str) -> str:
        """The float view of `tensor` that holds only values which integers can represent."""
        if tensor in self.plan.rounded:
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
        self.put(parameters.scale, scale)
        self.put(parameters.zero_point, zero_point)
        stored = f"{tensor}{self.mark}{self.parts.activations.dtype}"
        self.node("QuantizeLinear", [source, scale, zero_point], stored)
        self.node("DequantizeLinear", [stored, scale, zero_point], target)

    def _int8_constant(self, name: str) -> str:
        """The float view of a constant of the graph that is stored in integers."""
        values, kind = self.constant(name), self.parts.activations
        scale, zero_point = kind.parameters(float(values.min()), float(values.max()))
        stored = f"{name}{self.mark}{kind.dtype}"
        parts = [stored, f"{stored}/scale", f"{stored}/zero_point"]
        arrays = kind.quantized(values, scale, zero_point), scale, zero_point
        for array, part in zip(arrays, parts, strict=True):
            self.put(array, part)
        if f"{stored}/float" not in self.made:
            self.made.add(f"{stored}/float")
            self.node("DequantizeLinear", parts, f"{stored}/float")
        return f"{stored}/float"

    # Constants

    def _encode(self, layer: WeightedNode, choice: Choice) -> None:
        for tensor in self.compressor.tensors(layer, choice):
            self.constants[tensor.name] = tensor
        bias, shift = find_bias(self.graph, layer), f"{layer.stem}shift"
        if bias is not None and shift in self.constants:
            self._correct(layer, bias, numpy_helper.to_array(self.constants[shift]))

    def _correct(self, layer: WeightedNode, bias: Bias, shift: Array) -> None:
        before = self.constant(bias.constant) if bias.constant else np.float32(0)
        name = f"{layer.stem}corrected"
        self.put(before + shift, name)
        self.corrected[bias.adder or layer.name] = name

    def constant(self, name: str) -> Array:
        """A constant of the graph, without removed channels, or one that was made."""
        if name in self.constants:
            return numpy_helper.to_array(self.constants[name])
        return self.compressor.constant(name)

    def _plain_constants(self) -> None:
        """Constants that the nodes read and that no layer encoded."""
        for name in self._read:
            if name in self.graph.constants and name not in self.constants:
                if self.removal.touches(name):
                    self.put(self.constant(name), name)
                else:
                    self.constants[name] = self.graph.constants.tensors[name]

    @cached_property
    def _read(self) -> dict[str, None]:
        """What the nodes of the finished graph read."""
        names = dict.fromkeys(name for node in self.nodes for name in reads(node))
        return names | dict.fromkeys(self.graph.outputs)

    def put(self, array: Array, name: str) -> None:
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)

    def node(self, kind: str, inputs: Iterable[str], output: str, **values: Any) -> None:
        # Not the tensor's name alone: many exporters give it to the node that wrote it.
        name = f"{output}{self.mark}{kind}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name, **values))


class _LayerPlace:
    """See `Place`."""

    def __init__(self, assembler: _Assembler, layer: WeightedNode) -> None:
        self._assembler = assembler
        self.layer = layer
        self.weight = f"{layer.stem}weight"

    @property
    def shape(self) -> tuple[int, ...]:
        return self._assembler.compressor.shape(self.layer)

    @property
    def _bias(self) -> str:
        return self._assembler.corrected.get(self.layer.name, self.layer.bias)

    def own(self, weight: str, *, data: str = "", bias: str = "") -> None:
        layer = self.layer
        node = NodeProto()
        node.CopyFrom(layer.node)
        node.name = layer.name
        gathers = layer.layer.op_type == "Gather"
        node.input[0 if gathers else 1] = weight
        node.input[1 if gathers else 0] = data or layer.data
        if bias := bias or self._bias:
            del node.input[2:]
            node.input.append(bias)
        if layer.depthwise:
            next(a for a in node.attribute if a.name == "group").i = self.shape[0]
        self._assembler.emit(node)

    @property
    def product(self) -> str:
        return f"{self.layer.stem}product" if self._bias else self.layer.node.output[0]

    def named(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        self._assembler.nodes.append(
            helper.make_node(kind, list(inputs), [output], self.layer.name, **attributes)
        )

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self._assembler.node(kind, inputs, output, **attributes)
        return output

    def add_bias(self) -> None:
        if self._bias:
            self.node("Add", [self.product, self._bias], self.layer.node.output[0])

    def int8_data(self) -> str:
        return self._assembler.int8_input(self.layer.data)

    def int32_bias(self) -> str:
        if not self._bias:
            return ""
        assembler, name = self._assembler, f"{self.layer.stem}bias"
        scale = numpy_helper.to_array(assembler.constants[f"{self.weight}/scale"])
        input_scale = assembler.plan.parameters[self.layer.data].scale
        found = int32_bias(assembler.constant(self._bias), input_scale, scale)
        assembler.put(found.values, name)
        assembler.put(found.scale, f"{name}/scale")
        assembler.put(found.zero_point, f"{name}/zero_point")
        parts = [name, f"{name}/scale", f"{name}/zero_point"]
        return self.node("DequantizeLinear", parts, f"{name}/float", axis=0)

    def dynamic_data(self) -> tuple[str, str, str]:
        data = self.layer.data
        stem = f"{data}{self._assembler.mark}dynamic"
        names = stem, f"{stem}/scale", f"{stem}/zero_point"
        if stem not in self._assembler.made:
            self._assembler.made.add(stem)
            self._assembler.nodes.append(
                helper.make_node("DynamicQuantizeLinear", [data], names, f"{stem}/node")
            )
        return names
