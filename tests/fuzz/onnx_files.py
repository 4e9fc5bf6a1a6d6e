"""Mutations of ONNX models, piece by piece."""

from random import Random

from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

from tests.fuzz.onnx_nodes import NODES
from tests.fuzz.onnx_parts import DOMAINS, Mutation, some_node
from tests.fuzz.onnx_values import VALUES


def mutated_model(content: bytes, rng: Random) -> bytes:
    """One to three mutations of a model's parts."""
    model = ModelProto.FromString(content)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        rng.choice(_MUTATIONS)(model, rng)
    return model.SerializeToString()


def _other_opset(model: ModelProto, rng: Random) -> None:
    if model.opset_import:
        version = rng.choice([*range(1, 27), 0, -1, 99, 2**40])
        rng.choice(model.opset_import).version = version


def _opsets(model: ModelProto, rng: Random) -> None:
    if rng.random() < 0.3:
        del model.opset_import[:]
    else:
        domain = rng.choice(DOMAINS)
        model.opset_import.append(helper.make_opsetid(domain, rng.choice([1, 7, 13, 21, 99])))


def _other_ir_version(model: ModelProto, rng: Random) -> None:
    model.ir_version = rng.choice([0, 1, 3, 4, 8, 10, 13, 99, -1])


def _branches(model: ModelProto, rng: Random) -> None:
    """A node becomes what a branch computes, or calls itself down to some depth."""
    node = some_node(model, rng)
    inner = NodeProto.FromString(node.SerializeToString())
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output[:1]]
    for _ in range(rng.choice([1, 1, 2, 25])):
        body = GraphProto(name="branch", node=[inner], output=outputs)
        inner = NodeProto(op_type="If", name=node.name, input=["yes"], output=list(node.output[:1]))
        inner.attribute.append(helper.make_attribute("then_branch", body))
        inner.attribute.append(helper.make_attribute("else_branch", body))
        if len(inner.attribute[0].g.node[0].attribute) > 1:
            # Twice as much at every level would not fit anywhere.
            del inner.attribute[1]
    node.CopyFrom(inner)
    model.graph.initializer.append(helper.make_tensor("yes", TensorProto.BOOL, [], [True]))


def _loop(model: ModelProto, rng: Random) -> None:
    node = some_node(model, rng)
    if not (node.input and node.output):
        return
    body = GraphProto(name="body", node=[NodeProto.FromString(node.SerializeToString())])
    body.input.append(helper.make_tensor_value_info("i", TensorProto.INT64, []))
    body.input.append(helper.make_tensor_value_info("go", TensorProto.BOOL, []))
    body.output.append(helper.make_tensor_value_info("go", TensorProto.BOOL, []))
    body.output.append(helper.make_empty_tensor_value_info(node.output[0]))
    scanned = node.output[0]
    node.CopyFrom(NodeProto(op_type="Loop", name=node.name, input=["rounds", ""]))
    node.output.append(scanned)
    node.attribute.append(helper.make_attribute("body", body))
    rounds = rng.choice([0, 1, 2, -1] * 5 + [2**62])
    model.graph.initializer.append(helper.make_tensor("rounds", TensorProto.INT64, [], [rounds]))


def _function(model: ModelProto, rng: Random) -> None:
    """A node becomes a call, of a function that may call itself."""
    node = some_node(model, rng)
    inner = NodeProto.FromString(node.SerializeToString())
    function = FunctionProto(name="own", domain="local", input=node.input, output=node.output)
    function.opset_import.append(helper.make_opsetid("", 17))
    node.op_type, node.domain = "own", "local"
    function.node.append(node if rng.random() < 0.3 else inner)
    if rng.random() < 0.8:
        model.opset_import.append(helper.make_opsetid("local", 1))
    del node.attribute[:]
    model.functions.append(function)


_MUTATIONS: list[Mutation] = [
    *NODES,
    *VALUES,
    _other_opset,
    _opsets,
    _other_ir_version,
    _branches,
    _loop,
    _function,
]
