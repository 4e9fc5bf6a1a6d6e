"""Sizes of files."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import zstandard
from onnx import TensorProto, helper, numpy_helper

from paretune.evaluators import Artifact, EvaluationContext, Measurement
from paretune.evaluators.evaluator import EvaluatorOptions
from paretune.evaluators.size import SizePlugin, external_files
from tests import models
from tests.evaluators.conftest import artifact


def sizes(measured: Artifact, context: EvaluationContext) -> dict[str, Measurement]:
    options = EvaluatorOptions()
    evaluator = SizePlugin.create(options, context)
    return evaluator.measure(measured, SizePlugin.metrics(options), "search")


def test_one_file(context: EvaluationContext, tmp_path: Path) -> None:
    path = models.cnn(tmp_path / "cnn.onnx", channels=32)
    measured = sizes(artifact(path), context)
    assert measured["size_bytes"].value == path.stat().st_size
    assert measured["size_bytes"].low is None
    whole = len(zstandard.ZstdCompressor(level=3).compress(path.read_bytes()))
    assert measured["download_bytes"].value == pytest.approx(whole, rel=0.01)


def test_zeros_compress(context: EvaluationContext, tmp_path: Path) -> None:
    path = models.cnn(tmp_path / "cnn.onnx", channels=32)
    dense = sizes(artifact(path), context)
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        weight = numpy_helper.to_array(tensor).copy()
        weight[weight < 0] = 0
        tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
    onnx.save(model, path)
    sparse = sizes(artifact(path), context)
    assert sparse["size_bytes"].value == dense["size_bytes"].value
    assert sparse["download_bytes"].value < 0.8 * dense["download_bytes"].value


def test_external_data_counts(context: EvaluationContext, tmp_path: Path) -> None:
    inline = models.cnn(tmp_path / "inline.onnx")
    path = tmp_path / "external.onnx"
    onnx.save(
        onnx.load(inline), path, save_as_external_data=True, location="w.bin", size_threshold=0
    )
    assert external_files(inline) == []
    assert external_files(path) == [tmp_path / "w.bin"]
    measured = sizes(artifact(path), context)
    total = path.stat().st_size + (tmp_path / "w.bin").stat().st_size
    assert measured["size_bytes"].value == total
    assert measured["size_bytes"].samples == {"files": 2}
    compressed = sizes(artifact(inline), context)["download_bytes"].value
    assert measured["download_bytes"].value > 0.9 * compressed


def test_external_data_in_subgraphs_and_attributes(tmp_path: Path) -> None:
    def external(name: str) -> onnx.TensorProto:
        tensor = numpy_helper.from_array(np.ones(2, np.float32), name)
        onnx.external_data_helper.set_external_data(tensor, f"{name}.bin")
        tensor.ClearField("raw_data")
        return tensor

    constant = helper.make_node("Constant", [], ["c"], value=external("attribute"))
    out = helper.make_tensor_value_info("c", TensorProto.FLOAT, [2])
    branch = helper.make_graph([constant], "branch", [], [out], [external("inner")])
    node = helper.make_node("If", ["cond"], ["y"], then_branch=branch, else_branch=branch)
    cond = helper.make_tensor_value_info("cond", TensorProto.BOOL, [])
    graph = helper.make_graph([node], "g", [cond], [out], [external("outer")])
    path = tmp_path / "model.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    names = [file.name for file in external_files(path)]
    assert names == ["attribute.bin", "inner.bin", "outer.bin"]


def test_a_node_called_location_is_no_external_data(tmp_path: Path) -> None:
    path = models.save(
        tmp_path / "model.onnx",
        [helper.make_node("Relu", ["location"], ["y"])],
        {"location": (TensorProto.FLOAT, [2])},
        {"y": (TensorProto.FLOAT, [2])},
        {},
    )
    assert external_files(path) == []
