"""Transformer encoders, written in the ways that exporters write attention."""

from pathlib import Path
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto
from onnx.helper import make_node

from tests.models import floats, save

TOKENS, WIDTH, HEADS, SIZE, HIDDEN = 6, 32, 4, 8, 48
FORMS = ("constant", "computed", "fused", "chunked", "sliced")


class _Builder:
    def __init__(self) -> None:
        self.rng = np.random.default_rng(7)
        self.nodes: list[NodeProto] = []
        self.weights: dict[str, Any] = {}

    def node(self, kind: str, inputs: list[str], output: str, **values: Any) -> str:
        self.nodes.append(make_node(kind, inputs, [output], f"{output}.node", **values))
        return output

    def ints(self, *numbers: int) -> str:
        name = "_".join(["ints", *map(str, numbers)])
        self.weights[name] = np.array(numbers, np.int64)
        return name

    def number(self, value: float) -> str:
        name = f"number_{value:g}"
        self.weights[name] = np.array(value, np.float32)
        return name

    def linear(self, name: str, source: str, inputs: int, outputs: int) -> str:
        """MatMul, then Add with a bias of its own."""
        self.weights[f"{name}.weight"] = floats(self.rng, outputs, inputs).T
        self.weights[f"{name}.bias"] = floats(self.rng, outputs)
        product = f"{name}.product"
        self.nodes.append(make_node("MatMul", [source, f"{name}.weight"], [product], name))
        return self.node("Add", [product, f"{name}.bias"], f"{name}.out")

    def norm(self, name: str, source: str) -> str:
        self.weights[f"{name}.weight"] = self.rng.uniform(0.5, 1.5, WIDTH).astype(np.float32)
        self.weights[f"{name}.bias"] = floats(self.rng, WIDTH)
        parameters = [source, f"{name}.weight", f"{name}.bias"]
        return self.node("LayerNormalization", parameters, f"{name}.out", axis=-1)

    def attention(self, name: str, source: str, form: str) -> str:
        query, key, value = getattr(self, f"_{form}")(name, source)
        turned = self.node("Transpose", [key], f"{name}.kt", perm=[0, 1, 3, 2])
        scores = self.node("MatMul", [query, turned], f"{name}.scores")
        scaled = self.node("Mul", [scores, self.number(SIZE**-0.5)], f"{name}.scaled")
        # Constant per head, as where positions are relative; it shrinks with the heads.
        self.weights[f"{name}.position"] = floats(self.rng, 1, HEADS, TOKENS, TOKENS)
        placed = self.node("Add", [scaled, f"{name}.position"], f"{name}.placed")
        masked = self.node("Where", ["seen", placed, self.number(-1e4)], f"{name}.masked")
        shares = self.node("Softmax", [masked], f"{name}.shares", axis=-1)
        mixed = self.node("MatMul", [shares, value], f"{name}.mixed")
        joined = self.node("Transpose", [mixed], f"{name}.joined", perm=[0, 2, 1, 3])
        flat = self.node("Reshape", [joined, self.ints(0, 0, WIDTH)], f"{name}.flat")
        return self.linear(f"{name}.output", flat, WIDTH, WIDTH)

    def _heads(self, name: str, source: str, shape: str) -> str:
        split = self.node("Reshape", [source, shape], f"{name}.split")
        return self.node("Transpose", [split], f"{name}.heads", perm=[0, 2, 1, 3])

    def _constant(self, name: str, source: str) -> list[str]:
        """One shape constant for all."""
        shape = self.ints(0, -1, HEADS, SIZE)
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        return [self._heads(p, self.linear(p, source, WIDTH, WIDTH), shape) for p in parts]

    def _computed(self, name: str, source: str) -> list[str]:
        """Shapes are put together at run time, one for all layers."""
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        return [self._heads(p, self.linear(p, source, WIDTH, WIDTH), "split_shape") for p in parts]

    def _fused(self, name: str, source: str) -> list[str]:
        """One layer; a reshape tells query, key and value apart."""
        given = self.linear(f"{name}.qkv", source, WIDTH, 3 * WIDTH)
        split = self.node("Reshape", [given, self.ints(0, -1, 3, HEADS, SIZE)], f"{name}.split")
        turned = self.node("Transpose", [split], f"{name}.turned", perm=[2, 0, 3, 1, 4])
        self.weights |= {f"index_{i}": np.array(i, np.int64) for i in range(3)}
        return [
            self.node("Gather", [turned, f"index_{i}"], f"{name}.{i}", axis=0) for i in range(3)
        ]

    def _chunked(self, name: str, source: str) -> list[str]:
        """One layer; query, key and value are cut out of its output."""
        given = self.linear(f"{name}.qkv", source, WIDTH, 3 * WIDTH)
        parts = [f"{name}.{i}" for i in range(3)]
        sizes = self.ints(WIDTH, WIDTH, WIDTH)
        self.nodes.append(make_node("Split", [given, sizes], parts, f"{name}.cut", axis=-1))
        return [self._heads(p, p, self.ints(-1, TOKENS, HEADS, SIZE)) for p in parts]

    def _sliced(self, name: str, source: str) -> list[str]:
        """As `chunked`, by three slices, one of them counted from the end."""
        given = self.linear(f"{name}.qkv", source, WIDTH, 3 * WIDTH)
        shape, axis = self.ints(-1, TOKENS, HEADS, SIZE), self.ints(2)
        found = []
        for start, end in ((0, WIDTH), (WIDTH, 2 * WIDTH), (-WIDTH, 2**62)):
            cut = [given, self.ints(start), self.ints(end), axis]
            part = self.node("Slice", cut, f"{name}.from{start}")
            found.append(self._heads(part, part, shape))
        return found

    def feed_forward(self, name: str, source: str, act: str) -> str:
        wide = self.linear(f"{name}.up", source, WIDTH, HIDDEN)
        return self.linear(f"{name}.down", getattr(self, f"_{act}")(name, wide), HIDDEN, WIDTH)

    def _erf(self, name: str, x: str) -> str:
        inner = self.node("Div", [x, self.number(2**0.5)], f"{name}.div")
        erf = self.node("Erf", [inner], f"{name}.erf")
        more = self.node("Add", [erf, self.number(1)], f"{name}.more")
        whole = self.node("Mul", [x, more], f"{name}.whole")
        return self.node("Mul", [whole, self.number(0.5)], f"{name}.gelu")

    def _tanh(self, name: str, x: str) -> str:
        cube = self.node("Pow", [x, self.number(3)], f"{name}.cube")
        small = self.node("Mul", [cube, self.number(0.044715)], f"{name}.small")
        summed = self.node("Add", [x, small], f"{name}.summed")
        inner = self.node("Mul", [summed, self.number((2 / np.pi) ** 0.5)], f"{name}.inner")
        tanh = self.node("Tanh", [inner], f"{name}.tanh")
        more = self.node("Add", [tanh, self.number(1)], f"{name}.more")
        whole = self.node("Mul", [x, more], f"{name}.whole")
        return self.node("Mul", [whole, self.number(0.5)], f"{name}.gelu")

    def _gelu(self, name: str, x: str) -> str:
        return self.node("Gelu", [x], f"{name}.gelu")


def encoder(path: Path, *, form: str = "constant", acts: tuple[str, ...] = ("erf", "tanh")) -> Path:
    """`ids` and `mask`, both (batch, TOKENS), to `logits` (batch, 3); one layer for each of `acts`.

    The first layer normalizes before (x + f(norm(x))), the others after (norm(x + f(x))).

    Args:
        form: how attention is written, one of `FORMS`.
        acts: `erf`, `tanh` or `gelu`: how GELU is written.
    """
    make = _Builder()
    make.weights["embed.weight"] = make.rng.standard_normal((20, WIDTH)).astype(np.float32)
    make.nodes.append(make_node("Gather", ["embed.weight", "ids"], ["embedded"], "embed"))
    wide = make.node("Unsqueeze", ["mask", make.ints(1, 2)], "wide_mask")
    make.node("Greater", [wide, make.number(0)], "seen")
    if form == "computed":
        make.node("Shape", ["ids"], "sizes")
        parts = ["sizes", make.ints(HEADS), make.ints(SIZE)]
        make.node("Concat", parts, "split_shape", axis=0)
    x = "embedded"
    for index, act in enumerate(acts):
        name = f"layer{index}"
        before = index == 0
        given = make.norm(f"{name}.norm1", x) if before else x
        x = make.node("Add", [x, make.attention(f"{name}.attention", given, form)], f"{name}.sum1")
        x = x if before else make.norm(f"{name}.norm1", x)
        given = make.norm(f"{name}.norm2", x) if before else x
        x = make.node("Add", [x, make.feed_forward(f"{name}.mlp", given, act)], f"{name}.sum2")
        x = x if before else make.norm(f"{name}.norm2", x)
    pooled = make.node("ReduceMean", [x, make.ints(1)], "pooled", keepdims=0)
    logits = make.linear("head", pooled, WIDTH, 3)
    make.node("Identity", [logits], "logits")
    return save(
        path,
        make.nodes,
        {
            "ids": (TensorProto.INT64, ["batch", TOKENS]),
            "mask": (TensorProto.FLOAT, ["batch", TOKENS]),
        },
        {"logits": (TensorProto.FLOAT, ["batch", 3])},
        make.weights,
        opset=20,
    )
