"""Real ONNX models that a runtime cannot cope with, in the place of a candidate."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Nodes = list[onnx.NodeProto]


def _constant(name: str, value: object, dtype: type = np.int64) -> onnx.NodeProto:
    return helper.make_node(
        "Constant", [], [name], value=numpy_helper.from_array(np.array(value, dtype))
    )


def _nan() -> Nodes:
    """The square root of what is below zero."""
    return [
        helper.make_node("Abs", ["y"], ["abs"]),
        helper.make_node("Neg", ["abs"], ["neg"]),
        helper.make_node("Sqrt", ["neg"], ["logits"]),
    ]


def _more_classes() -> Nodes:
    return [helper.make_node("Concat", ["y", "y"], ["logits"], axis=1)]


def _one_sample() -> Nodes:
    return [
        _constant("first", [0]),
        _constant("end", [1]),
        helper.make_node("Slice", ["y", "first", "end", "first"], ["logits"]),
    ]


def _huge() -> Nodes:
    """64 GiB, of which the sum would be taken."""
    return [
        helper.make_node("ReduceMax", ["y"], ["one"], keepdims=1),
        _constant("shape", [1 << 17, 1 << 17]),
        helper.make_node("Expand", ["one", "shape"], ["large"]),
        helper.make_node("Exp", ["large"], ["larger"]),
        helper.make_node("ReduceSum", ["larger"], ["total"], keepdims=0),
        helper.make_node("Add", ["y", "total"], ["logits"]),
    ]


def _endless() -> Nodes:
    """A loop whose condition stays true."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Tanh", ["state"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    return [
        _constant("yes", True, np.bool_),
        helper.make_node("Loop", ["", "yes", "y"], ["logits"], body=body),
    ]


def _crash() -> Nodes:
    """The lowest integer modulo -1, at which x86 processors trap."""
    return [
        helper.make_node("Cast", ["y"], ["whole"], to=TensorProto.INT32),
        _constant("zero", 0, np.int32),
        helper.make_node("Mul", ["whole", "zero"], ["zeros"]),
        _constant("lowest", -(2**31), np.int32),
        _constant("minus", -1, np.int32),
        helper.make_node("Add", ["zeros", "lowest"], ["a"]),
        helper.make_node("Add", ["zeros", "minus"], ["b"]),
        helper.make_node("Mod", ["a", "b"], ["rest"]),
        helper.make_node("Cast", ["rest"], ["logits"], to=TensorProto.FLOAT),
    ]


def _thousand() -> Nodes:
    return [
        _constant("thousand", 1000, np.float32),
        helper.make_node("Add", ["y", "thousand"], ["logits"]),
    ]


def _unknown() -> Nodes:
    return [helper.make_node("Frobnicate", ["y"], ["logits"], domain="nowhere")]


TAILS: Mapping[str, Callable[[], Nodes]] = {
    "nan": _nan,
    "more classes": _more_classes,
    "one sample": _one_sample,
    "huge": _huge,
    "endless": _endless,
    "crash": _crash,
    "thousand": _thousand,
    "unknown": _unknown,
}


KEPT = {"logits": "logits"}


def _rename(nodes: Iterable[onnx.NodeProto], names: Mapping[str, str]) -> None:
    for node in nodes:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def break_model(path: Path, how: str) -> None:
    """Add nodes behind the output `logits` (samples, classes) of a model, of the same name."""
    if how == "no model":
        path.write_bytes(b"this is no model")
        return
    model = onnx.load(path)
    _rename(model.graph.node, {"logits": "y"})
    tail = TAILS[how]()
    # The model may have used such names.
    _rename(tail, {name: f"tail/{name}" for node in tail for name in node.output[:]} | KEPT)
    model.graph.node.extend(tail)
    if how == "unknown":
        model.opset_import.append(helper.make_opsetid("nowhere", 1))
    del model.graph.value_info[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, path)
