"""A residual network of any size, untrained, and jobs that measure its latency."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from paretune.evaluators.arrays import save_arrays
from paretune.evaluators.data import Array
from paretune.evaluators.measuring.job import INPUTS, MODEL, REFERENCE, Job, Limits, Setup

WIDTH = 16
_RUNS = 7


def residual(path: Path, size: int, width: int = WIDTH) -> Path:
    """Write a network of the shape of ResNet-8: (1, 3, size, size) to logits of shape (1, 10).

    Args:
        width: channels of the first stage; the next have twice and four times as many.
    """
    net = _Builder()
    x = net.relu(net.conv("x", 3, width, 3, 1))
    channels = width
    for stage in range(3):
        outputs, stride = width << stage, 1 if stage == 0 else 2
        body = net.relu(net.conv(x, channels, outputs, 3, stride))
        body = net.conv(body, outputs, outputs, 3, 1)
        shortcut = x if stage == 0 else net.conv(x, channels, outputs, 1, stride)
        x = net.relu(net.node("Add", [body, shortcut]))
        channels = outputs
    x = net.node("Flatten", [net.node("GlobalAveragePool", [x])])
    net.node("MatMul", [x, net.weight(channels, 10)], output="logits")
    onnx.save(net.model(size), path)
    return path


def quantized(source: Path, path: Path, size: int) -> Path:
    """Write its int8 version."""
    quantize_static(
        source,
        path,
        _Random(size),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return path


def size_for(seconds: float, folder: Path) -> int:
    """The image size, a multiple of 4, with which the network takes about so long here."""
    size = 32
    for _ in range(3):
        taken = _fastest(residual(folder / "sized.onnx", size), size)
        size = max(8, round(size * (seconds / taken) ** 0.5 / 4) * 4)
    return size


def latency_job(folder: Path, reference: Path, candidate: Path, size: int) -> Job:
    """At the default target."""
    inputs = folder / "inputs.npz"
    save_arrays(inputs, {"x": _image(size, seed=0)})
    files = {REFERENCE: str(reference), MODEL: str(candidate), INPUTS: str(inputs)}
    return Job("latency", Setup(), files, {}, Limits(seconds=120))


class _Builder:
    """Collects the parts of a graph."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def node(
        self, kind: str, inputs: list[str], output: str | None = None, **attributes: Any
    ) -> str:
        name = output or f"{kind.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def weight(self, *shape: int) -> str:
        name = f"weight{len(self._weights)}"
        values = self._rng.standard_normal(shape) * (2 / np.prod(shape[1:])) ** 0.5
        self._weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def conv(self, x: str, inputs: int, outputs: int, kernel: int, stride: int) -> str:
        weights = [self.weight(outputs, inputs, kernel, kernel), self.weight(outputs)]
        pads = [kernel // 2] * 4
        return self.node("Conv", [x, *weights], pads=pads, strides=[stride, stride])

    def relu(self, x: str) -> str:
        return self.node("Relu", [x])

    def model(self, size: int) -> onnx.ModelProto:
        graph = helper.make_graph(
            self._nodes,
            "residual",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, size, size])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 10])],
            self._weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        return model


class _Random(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, size: int) -> None:
        self._left = iter([{"x": _image(size, seed)} for seed in range(4)])

    def get_next(self) -> dict[str, Array] | None:
        return next(self._left, None)


def _image(size: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((1, 3, size, size)).astype(np.float32)


def _fastest(model: Path, size: int) -> float:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feeds = {"x": _image(size, seed=0)}
    taken = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        session.run(None, feeds)
        taken.append(time.perf_counter() - start)
    return min(taken)
