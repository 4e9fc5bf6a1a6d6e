"""A part of a model, and what it may be mistaken for."""

from collections.abc import Callable
from random import Random

from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto

from tests.fuzz.mutating import NUMBERS

Mutation = Callable[[ModelProto, Random], None]

OPERATORS = (
    "Relu Identity Transpose Sigmoid Softmax Reshape Gather Flatten Add Mul Div Mod Concat Split"
    " Slice Pad Conv Gemm MatMul MaxPool ReduceMean Resize Expand Tile Cast Shape ConstantOfShape"
    " Range TopK NonZero LSTM Loop If Scan Einsum QuantizeLinear DequantizeLinear Frobnicate"
    " BatchNormalization Dropout OneHot CumSum Where SequenceEmpty StringNormalizer RandomNormal"
).split()
DOMAINS = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft", "nowhere", "ai.onnx.preview.training"]
NAMES = ["", "x", "image", "logits", "é/\n", "a" * 300, "../../etc/passwd"]
DIMS = [*NUMBERS, 4, 8, 16, 2**20, 2**40]


def some_node(model: ModelProto, rng: Random) -> NodeProto:
    nodes = model.graph.node
    return rng.choice(nodes) if nodes else nodes.add(op_type="Relu")


def some_tensor(model: ModelProto, rng: Random) -> TensorProto:
    tensors = model.graph.initializer
    return rng.choice(tensors) if tensors else tensors.add(name="x")


def some_value(model: ModelProto, rng: Random) -> ValueInfoProto:
    values = [*model.graph.input, *model.graph.output]
    return rng.choice(values) if values else model.graph.input.add(name="x")


def some_name(model: ModelProto, rng: Random) -> str:
    """Of something in the model, mostly."""
    graph = model.graph
    known = [v.name for v in (*graph.input, *graph.output)] + [t.name for t in graph.initializer]
    known += [name for node in graph.node for name in (*node.input, *node.output)]
    return rng.choice(known) if known and rng.random() < 0.8 else rng.choice(NAMES)
