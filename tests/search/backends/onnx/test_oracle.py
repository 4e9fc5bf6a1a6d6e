"""ONNX Runtime's own static quantizer is the oracle for uniform int8."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data

from paretune.search.backends.onnx import OnnxPrepared
from paretune.spaces import Choice, Policy, Precision
from tests.search.backends.onnx.running import outputs
from tests.search.backends.onnx.zoo import data_of, prepare


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, inputs: Any) -> None:
        self.left = [inputs]

    def get_next(self) -> Any:
        return self.left.pop() if self.left else None


@pytest.mark.parametrize("name", ["cnn", "mobile", "dense", "switched_off"])
def test_uniform_int8(name: str, tmp_path: Path) -> None:
    prepared = prepare(name, tmp_path, solver="naive")
    layers = {
        layer.name: Choice(Precision.INT8)
        if layer.op_type in ("Conv", "Gemm", "MatMul")
        else Choice()
        for layer in prepared.layers
    }
    ours = prepared.apply(Policy.of(layers), tmp_path / "ours.onnx")
    theirs = tmp_path / "theirs.onnx"
    quantize_static(
        prepared.reference.path,
        theirs,
        _Reader(dict(data_of(name).inputs)),
        calibration_cache_path=_same_ranges(prepared, tmp_path / "ranges.json"),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=[n for n, c in layers.items() if c.precision == Precision.FP32],
    )
    mine, other = _Quantized(ours.path), _Quantized(theirs)
    for layer, choice in layers.items():
        if choice.precision == Precision.INT8:
            for got, want in zip(mine.weight(layer), other.weight(layer), strict=True):
                np.testing.assert_array_equal(got, want)
            for got, want in zip(mine.data(layer), other.data(layer), strict=True):
                np.testing.assert_array_equal(got, want)
            for got, want in zip(mine.bias(layer), other.bias(layer), strict=True):
                np.testing.assert_array_equal(got, want)
    batch = data_of(name)
    got, want = outputs(ours.path, batch)["logits"], outputs(theirs, batch)["logits"]
    exact = outputs(prepared.reference.path, batch)["logits"]
    # The oracle also rounds the last layer's output; ours leaves it as float.
    step = np.ptp(exact) / 255
    assert np.abs(got - want).max() <= 4 * step
    assert np.abs(got - exact).mean() <= np.abs(want - exact).mean() * 1.1


def _same_ranges(prepared: OnnxPrepared, path: Path) -> Path:
    ranges = {
        name: (np.array(low, np.float32), np.array(high, np.float32))
        for name, (low, high) in prepared._parts.statistics.ranges.items()
    }
    save_tensors_data(TensorsData(CalibrationMethod.MinMax, ranges), path)
    return path


class _Quantized:
    """What the layers of a QDQ model read, as (integers, scale, zero point)."""

    def __init__(self, path: Path) -> None:
        graph = onnx.load(path).graph
        self.constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        self.nodes = {node.name: node for node in graph.node}
        self.producers = {name: node for node in graph.node for name in node.output}

    def weight(self, layer: str) -> list[NDArray[Any]]:
        return self._constants(self.nodes[layer].input[1])

    def bias(self, layer: str) -> list[NDArray[Any]]:
        return self._constants(self.nodes[layer].input[2])

    def data(self, layer: str) -> list[NDArray[Any]]:
        """Scale and zero point of the input."""
        return self._constants(self.nodes[layer].input[0])[1:]

    def _constants(self, name: str) -> list[NDArray[Any]]:
        node = self.producers[name]
        assert node.op_type == "DequantizeLinear"
        return [self.constants.get(i, np.zeros(0)).reshape(-1) for i in node.input]
