"""Mutations of a model's nodes and their attributes."""

from random import Random
from typing import Any

from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper

from tests.fuzz.mutating import NUMBERS
from tests.fuzz.onnx_parts import DOMAINS, NAMES, OPERATORS, Mutation, some_name, some_node

_KINDS = [
    *[AttributeProto.UNDEFINED, AttributeProto.FLOAT, AttributeProto.INT, AttributeProto.STRING],
    *[AttributeProto.TENSOR, AttributeProto.GRAPH, AttributeProto.FLOATS, AttributeProto.INTS],
]


def _drop_node(model: ModelProto, rng: Random) -> None:
    if model.graph.node:
        del model.graph.node[rng.randrange(len(model.graph.node))]


def _double_node(model: ModelProto, rng: Random) -> None:
    model.graph.node.add().CopyFrom(some_node(model, rng))


def _rename_double(model: ModelProto, rng: Random) -> None:
    """A second reader and writer, valid as a rule."""
    node = model.graph.node.add()
    node.CopyFrom(some_node(model, rng))
    node.name += "'"
    node.output[:] = [f"{name}'" for name in node.output]
    if rng.random() < 0.5 and node.output:
        model.graph.output.append(helper.make_empty_tensor_value_info(node.output[0]))


def _reorder_nodes(model: ModelProto, rng: Random) -> None:
    nodes = [NodeProto.FromString(node.SerializeToString()) for node in model.graph.node]
    rng.shuffle(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _other_operator(model: ModelProto, rng: Random) -> None:
    some_node(model, rng).op_type = rng.choice(OPERATORS)


def _other_domain(model: ModelProto, rng: Random) -> None:
    node = some_node(model, rng)
    node.domain = rng.choice(DOMAINS)
    if rng.random() < 0.5:
        model.opset_import.append(helper.make_opsetid(node.domain, rng.choice([1, 2, 17])))


def _rename_node(model: ModelProto, rng: Random) -> None:
    other = some_node(model, rng).name if rng.random() < 0.5 else rng.choice(NAMES)
    some_node(model, rng).name = other


def _other_input(model: ModelProto, rng: Random) -> None:
    node = some_node(model, rng)
    if node.input:
        node.input[rng.randrange(len(node.input))] = some_name(model, rng)


def _more_inputs(model: ModelProto, rng: Random) -> None:
    some_node(model, rng).input.append(some_name(model, rng))


def _fewer_inputs(model: ModelProto, rng: Random) -> None:
    node = some_node(model, rng)
    if node.input:
        del node.input[rng.randrange(len(node.input))]


def _other_output(model: ModelProto, rng: Random) -> None:
    node = some_node(model, rng)
    if node.output:
        node.output[rng.randrange(len(node.output))] = some_name(model, rng)


def _fewer_outputs(model: ModelProto, rng: Random) -> None:
    del some_node(model, rng).output[:]


def _more_outputs(model: ModelProto, rng: Random) -> None:
    some_node(model, rng).output.append(some_name(model, rng))


def _cycle(model: ModelProto, rng: Random) -> None:
    first, last = some_node(model, rng), some_node(model, rng)
    if first.input and last.output:
        first.input[0] = last.output[0]


def _attribute_value(rng: Random) -> Any:
    return rng.choice(
        [
            rng.choice(NUMBERS),
            [rng.choice(NUMBERS) for _ in range(rng.randint(1, 9))],
            rng.choice([0.5, -1.0, 1e38, float("nan"), float("inf")]),
            rng.choice(["", "SAME_UPPER", "NOTSET", "linear", "é"]),
            helper.make_tensor("t", TensorProto.FLOAT, [2], [1.0, 2.0]),
        ]
    )


def _other_attribute(model: ModelProto, rng: Random) -> None:
    node = some_node(model, rng)
    names = [attribute.name for attribute in node.attribute]
    names += ["axis", "axes", "pads", "strides", "kernel_shape", "group", "perm", "keepdims", "to"]
    name = rng.choice(names)
    for attribute in [a for a in node.attribute if a.name == name]:
        node.attribute.remove(attribute)
    node.attribute.append(helper.make_attribute(name, _attribute_value(rng)))


def _no_attributes(model: ModelProto, rng: Random) -> None:
    del some_node(model, rng).attribute[:]


def _double_attribute(model: ModelProto, rng: Random) -> None:
    node = some_node(model, rng)
    if node.attribute:
        node.attribute.add().CopyFrom(rng.choice(node.attribute))


def _untyped_attribute(model: ModelProto, rng: Random) -> None:
    node = some_node(model, rng)
    if node.attribute:
        rng.choice(node.attribute).type = rng.choice(_KINDS)


NODES: list[Mutation] = [
    _drop_node,
    _double_node,
    _rename_double,
    _reorder_nodes,
    _other_operator,
    _other_domain,
    _rename_node,
    _other_input,
    _more_inputs,
    _fewer_inputs,
    _other_output,
    _fewer_outputs,
    _more_outputs,
    _cycle,
    _other_attribute,
    _no_attributes,
    _double_attribute,
    _untyped_attribute,
    _other_operator,
    _other_input,
    _other_attribute,
]
