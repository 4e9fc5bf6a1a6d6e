"""Graphs whose channels are tied in each of the ways that the backend follows."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto
from onnx.helper import make_node

from paretune.evaluators import Batch
from paretune.search.backends.onnx import OnnxBackend, OnnxPrepared
from tests.models import cnn, floats, save, two_inputs
from tests.search.backends.onnx.encoders import encoder


def images(count: int = 8, *, seed: int = 0, channels: int = 3, size: int = 12) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch({"image": rng.standard_normal((count, channels, size, size)).astype(np.float32)})


def texts(count: int = 8, *, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 20, (count, 6))
    return Batch({"ids": ids, "mask": np.ones((count, 6), np.float32)})


def conv(name: str, source: str, target: str, **values: Any) -> onnx.NodeProto:
    return make_node("Conv", [source, f"{name}.weight", f"{name}.bias"], [target], name, **values)


def mobile(path: Path) -> Path:
    """Depthwise convolution, squeeze and excitation, Clip, batch normalization, flatten to Gemm."""
    rng = np.random.default_rng(1)
    nodes = [
        conv("expand", "image", "e", pads=[1] * 4),
        make_node("BatchNormalization", ["e", "bn.s", "bn.b", "bn.m", "bn.v"], ["n"], "bn"),
        make_node("Clip", ["n", "zero", "six"], ["c"], "clip"),
        conv("depth", "c", "d", group=16, pads=[1] * 4, strides=[2, 2]),
        make_node("HardSwish", ["d"], ["h"], "swish"),
        make_node("GlobalAveragePool", ["h"], ["g"], "squeeze"),
        conv("reduce", "g", "r"),
        make_node("Relu", ["r"], ["rr"], "reduce.relu"),
        conv("excite", "rr", "x"),
        make_node("HardSigmoid", ["x"], ["s"], "gate"),
        make_node("Mul", ["h", "s"], ["m"], "scale"),
        conv("project", "m", "p"),
        make_node("Mul", ["p", "affine"], ["a"], "affine"),
        make_node("Reshape", ["a", "flat"], ["f"], "flatten"),
        make_node("Gemm", ["f", "head.weight", "head.bias"], ["logits"], "head", transB=1),
    ]
    weights = {
        "expand.weight": floats(rng, 16, 3, 3, 3),
        "expand.bias": floats(rng, 16),
        "bn.s": rng.uniform(0.5, 1.5, 16).astype(np.float32),
        "bn.b": floats(rng, 16),
        "bn.m": floats(rng, 16),
        "bn.v": rng.uniform(0.5, 1.5, 16).astype(np.float32),
        "zero": np.array(0, np.float32),
        "six": np.array(6, np.float32),
        "depth.weight": floats(rng, 16, 1, 3, 3),
        "depth.bias": floats(rng, 16),
        "reduce.weight": floats(rng, 8, 16, 1, 1),
        "reduce.bias": floats(rng, 8),
        "excite.weight": floats(rng, 16, 8, 1, 1),
        "excite.bias": floats(rng, 16),
        "project.weight": floats(rng, 8, 16, 1, 1),
        "project.bias": floats(rng, 8),
        "affine": floats(rng, 8, 1, 1),
        "flat": np.array([-1, 8 * 36], np.int64),
        "head.weight": floats(rng, 4, 8 * 36),
        "head.bias": floats(rng, 4),
    }
    return image_model(path, nodes, weights)


def dense(path: Path) -> Path:
    """A concat of two branches, read by a convolution and a transposed one."""
    rng = np.random.default_rng(2)
    nodes = [
        conv("left", "image", "l", pads=[1] * 4),
        make_node("Relu", ["l"], ["lr"], "left.relu"),
        conv("right", "image", "r"),
        make_node("LeakyRelu", ["r"], ["rr"], "right.relu"),
        make_node("Concat", ["lr", "rr"], ["c"], "concat", axis=1),
        make_node("MaxPool", ["c"], ["m"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        conv("merge", "m", "g"),
        make_node("Relu", ["g"], ["gr"], "merge.relu"),
        make_node(
            "ConvTranspose", ["gr", "up.weight", "up.bias"], ["u"], "up", strides=[2, 2],
            kernel_shape=[2, 2],
        ),
        make_node("ReduceMean", ["u", "space"], ["logits"], "mean", keepdims=0),
    ]  # fmt: skip
    weights = {
        "left.weight": floats(rng, 16, 3, 3, 3),
        "left.bias": floats(rng, 16),
        "right.weight": floats(rng, 24, 3, 1, 1),
        "right.bias": floats(rng, 24),
        "merge.weight": floats(rng, 16, 40, 1, 1),
        "merge.bias": floats(rng, 16),
        "up.weight": floats(rng, 16, 4, 2, 2),
        "up.bias": floats(rng, 4),
        "space": np.array([2, 3], np.int64),
    }
    return image_model(path, nodes, weights)


def grouped(path: Path) -> Path:
    """A grouped convolution freezes what it reads and writes; two layers share one weight."""
    rng = np.random.default_rng(3)
    nodes = [
        conv("stem", "image", "s"),
        conv("group", "s", "g", group=2),
        make_node("Conv", ["g", "twin.weight"], ["a"], "twin.a"),
        make_node("Conv", ["a", "twin.weight"], ["b"], "twin.b"),
        make_node("GlobalAveragePool", ["b"], ["p"], "pool"),
        make_node("Flatten", ["p"], ["logits"], "flatten"),
    ]
    weights = {
        "stem.weight": floats(rng, 16, 3, 3, 3),
        "stem.bias": floats(rng, 16),
        "group.weight": floats(rng, 16, 8, 1, 1),
        "group.bias": floats(rng, 16),
        "twin.weight": floats(rng, 16, 16, 1, 1),
    }
    return image_model(path, nodes, weights)


def switched_off(path: Path) -> Path:
    """Channels whose weights training drove to 0, but not their biases, as in MobileNets."""
    rng = np.random.default_rng(4)
    weight = floats(rng, 8, 3, 3, 3)
    weight[0] *= 1e-20
    weight[1] = 0
    nodes = [
        conv("stem", "image", "s"),
        make_node("Relu", ["s"], ["r"], "relu"),
        conv("next", "r", "n"),
        make_node("GlobalAveragePool", ["n"], ["p"], "pool"),
        make_node("Flatten", ["p"], ["logits"], "flatten"),
    ]
    weights = {
        "stem.weight": weight,
        "stem.bias": np.ones(8, np.float32),
        "next.weight": floats(rng, 4, 8, 1, 1),
        "next.bias": floats(rng, 4),
    }
    return image_model(path, nodes, weights)


def image_model(path: Path, nodes: list[onnx.NodeProto], weights: dict[str, Any]) -> Path:
    """From `image` to `logits`."""
    free = ["batch", "classes"]
    return save(
        path,
        nodes,
        {"image": (TensorProto.FLOAT, ["batch", 3, 12, 12])},
        {"logits": (TensorProto.FLOAT, free)},
        weights,
        opset=18,
    )


ZOO = {
    "cnn": cnn,
    "mobile": mobile,
    "dense": dense,
    "grouped": grouped,
    "text": two_inputs,
    "switched_off": switched_off,
    "encoder": encoder,
}
"""Name to builder; `text` and `encoder` read `texts()`, the others `images()`."""


def data_of(name: str) -> Batch:
    return texts() if name in ("text", "encoder") else images()


def prepare(name: str, folder: Path, **options: Any) -> OnnxPrepared:
    """A prepared member of the zoo, with the quickest ranges unless `options` name others."""
    folder.mkdir(parents=True, exist_ok=True)
    path = ZOO[name](folder / f"{name}.onnx")
    chosen = {"calibration": "minmax", **options}
    return OnnxBackend().prepare(path, [data_of(name)], folder / "cache", chosen)
