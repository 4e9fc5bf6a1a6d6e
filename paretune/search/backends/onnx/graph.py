"""The clean fp32 graph: what every artifact is assembled from."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, numpy_helper

Array = NDArray[Any]

MIN_OPSET = 21
"""Older graphs are converted: 4-bit tensors and per-channel QuantizeLinear need it."""


class Constants(Mapping[str, Array]):
    """Name of an initializer to its array, made when it is looked at.

    Arrays of all at once would hold a large model in memory twice.
    """

    def __init__(self, graph: GraphProto) -> None:
        self.tensors = {tensor.name: tensor for tensor in graph.initializer}

    def __getitem__(self, name: str) -> Array:
        return numpy_helper.to_array(self.tensors[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def __contains__(self, name: object) -> bool:
        return name in self.tensors


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order, and the constants they read.

    Attributes:
        model: the whole clean model; not changed by anyone.
        constants: initializer name to array.
        shapes: name of a tensor to its shape as observed on one batch, constants left out.
        batch: number of samples in that batch.
    """

    model: ModelProto
    constants: Constants
    shapes: Mapping[str, tuple[int, ...]]
    batch: int

    @property
    def nodes(self) -> list[NodeProto]:
        return list(self.model.graph.node)

    @cached_property
    def inputs(self) -> frozenset[str]:
        return frozenset(value.name for value in self.model.graph.input)

    @cached_property
    def outputs(self) -> frozenset[str]:
        return frozenset(value.name for value in self.model.graph.output)

    @cached_property
    def consumers(self) -> Mapping[str, list[NodeProto]]:
        """Tensor name to the nodes that read it, also from inside their subgraphs."""
        readers: dict[str, list[NodeProto]] = {}
        for node in self.model.graph.node:
            for name in dict.fromkeys(reads(node)):
                readers.setdefault(name, []).append(node)
        return readers

    @cached_property
    def mark(self) -> str:
        """What stands between a name of the graph and what is added to it to name something new.

        A run of slashes longer than any in the graph, so that no name is given twice.
        """
        used = names_of(self.model.graph)
        mark = "/"
        while any(mark in name for name in used):
            mark += "/"
        return mark

    def with_nodes(self, nodes: Iterable[NodeProto]) -> "Graph":
        """The same graph with other nodes; constants are shared, not copied."""
        model = shell(self.model)
        model.graph.node.extend(nodes)
        found = replace(self, model=model)
        # What names were made with must not depend on which nodes are left.
        vars(found)["mark"] = self.mark
        return found

    def own(self, constant: str) -> bool:
        """Whether `constant` is one that a single node reads, and nobody outside the graph."""
        known = constant in self.constants and constant not in self.outputs
        return known and self._readings[constant] == 1

    @cached_property
    def _readings(self) -> Mapping[str, int]:
        """Tensor name to how often the nodes read it."""
        return Counter(name for node in self.model.graph.node for name in reads(node))

    def sole_consumer(self, tensor: str) -> NodeProto | None:
        """The one node that reads `tensor`, or None if there are more or it leaves the graph."""
        readers = self.consumers.get(tensor, [])
        return readers[0] if len(readers) == 1 and tensor not in self.outputs else None


def shell(model: ModelProto) -> ModelProto:
    """All of a model but its nodes and constants."""
    empty = ModelProto(
        ir_version=model.ir_version,
        opset_import=model.opset_import,
        functions=model.functions,
        metadata_props=model.metadata_props,
    )
    empty.graph.name = model.graph.name
    empty.graph.input.extend(model.graph.input)
    empty.graph.output.extend(model.graph.output)
    return empty


def reads(node: NodeProto) -> Iterator[str]:
    """Names that a node reads, those read inside its subgraphs included."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            for inner in attribute.g.node:
                yield from reads(inner)


def rename_inputs(node: NodeProto, names: Mapping[str, str]) -> NodeProto:
    """The node, or a copy that reads other tensors, also inside its subgraphs."""
    if not any(name in names for name in reads(node)):
        return node
    copy = NodeProto()
    copy.CopyFrom(node)
    pending = [copy]
    while pending:
        one = pending.pop()
        for index, name in enumerate(one.input):
            one.input[index] = names.get(name, name)
        for attribute in one.attribute:
            pending.extend(attribute.g.node)
    return copy


def domains(nodes: Iterable[NodeProto]) -> set[str]:
    """The operator sets that nodes and their subgraphs use."""
    found: set[str] = set()
    for node in nodes:
        found.add(node.domain)
        for attribute in node.attribute:
            found |= domains(attribute.g.node)
    return found


def names_of(graph: GraphProto) -> set[str]:
    """Names of all nodes and tensors, those inside subgraphs included."""
    found = {value.name for value in (*graph.input, *graph.output)}
    found |= {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        found |= {node.name, *node.input, *node.output}
        for attribute in node.attribute:
            found |= names_of(attribute.g)
    return found


def unused_name(model: ModelProto, wanted: str) -> str:
    """`wanted`, or something like it that names nothing yet."""
    used = names_of(model.graph)
    while wanted in used:
        wanted += "_"
    return wanted


def attributes(node: NodeProto) -> dict[str, Any]:
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def fixes_batch(model: ModelProto) -> bool:
    """Whether the number of samples is part of the model."""
    shapes = [value.type.tensor_type.shape.dim for value in model.graph.input]
    return any(shape and shape[0].HasField("dim_value") for shape in shapes)


def opset(model: ModelProto) -> int:
    """Version of the default operator set."""
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)


def replace_nodes(model: ModelProto, nodes: list[NodeProto]) -> None:
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def name_after_weights(model: ModelProto) -> None:
    """Name the nodes that read a module's weight after the module.

    Exporters number nodes, but keep the parameters' names: `encoder.0.conv.weight` belongs to the
    layer `encoder.0.conv`, also where it passes through a `Transpose` first.
    """
    readers = Counter(name for node in model.graph.node for name in node.input)
    owner = {
        tensor.name: tensor.name.removesuffix(".weight")
        for tensor in model.graph.initializer
        if tensor.name.endswith(".weight") and readers[tensor.name] == 1
    }
    for node in model.graph.node:
        owners = [owner[name] for name in node.input if name in owner]
        if len(owners) == 1:
            if node.op_type in ("Transpose", "Identity", "Cast"):
                owner[node.output[0]] = owners[0]
            else:
                node.name = owners[0]


def name_nodes(model: ModelProto) -> None:
    """Give every node a unique name, its own if it has one."""
    taken: set[str] = set()
    for index, node in enumerate(model.graph.node):
        name = node.name or f"{node.op_type}_{index}"
        while name in taken:
            name = f"{name}_{index}"
        taken.add(name)
        node.name = name


def drop_unused_constants(model: ModelProto) -> None:
    used = {name for node in model.graph.node for name in reads(node)}
    used |= {value.name for value in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def put_constant(model: ModelProto, name: str, array: Array) -> None:
    """Add a constant."""
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
