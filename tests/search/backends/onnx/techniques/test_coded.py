"""Low-bit weights are decoded exactly, once, by whoever loads the model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from paretune.evaluators.runtimes.openvino import OpenVinoRuntime
from paretune.search.backends.onnx import OnnxPrepared
from paretune.search.backends.onnx.matrices import to_matrix, to_weight
from paretune.search.backends.onnx.techniques import Source, View, format_of
from paretune.search.backends.onnx.techniques.coded import coded, coded_size, coded_tensors
from paretune.spaces import Channel, Choice, Policy, Precision
from tests.search.backends.onnx.conftest import Zoo
from tests.search.backends.onnx.running import outputs
from tests.search.backends.onnx.zoo import data_of

RNG = np.random.default_rng(0)
LEVELS = [3, *(2**bits for bits in range(1, 9))]


class _Place:
    """Collects nodes."""

    weight = "w"

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.nodes: list[NodeProto] = []

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output


def layer(path: Path, levels: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """A model of one `MatMul` with coded weights at `path`; returns these."""
    codes = RNG.integers(0, levels, shape)
    table = RNG.standard_normal(levels).astype(np.float32)
    place = _Place(shape)
    values = coded(place, levels)  # type: ignore[arg-type]
    tensors = coded_tensors(codes, table, "w")
    assert sum(len(x.raw_data) for x in tensors) == coded_size(codes.size, levels)
    graph = helper.make_graph(
        [
            *place.nodes,
            helper.make_node("Reshape", [values, "w/shape"], ["wide"], "reshape"),
            helper.make_node("MatMul", ["x", "wide"], ["y"], "layer"),
        ],
        "model",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", shape[1]])],
        [*tensors, numpy_helper.from_array(np.array(shape), "w/shape")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return table[codes]


def optimized(path: Path, level: ort.GraphOptimizationLevel) -> tuple[onnx.ModelProto, Any]:
    """What ONNX Runtime makes of a model, and its session."""
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.optimized_model_filepath = str(path.with_suffix(".optimized"))
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return onnx.load(options.optimized_model_filepath), session


@pytest.mark.parametrize("shape", [(16, 40), (7, 11)], ids=["whole words", "a cut word"])
@pytest.mark.parametrize("levels", LEVELS)
def test_decoded_exactly_and_at_load(levels: int, shape: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    weight = layer(path, levels, shape)
    # Each row of the identity reads one row of the weight.
    identity = np.eye(shape[0], dtype=np.float32)
    for level in (
        ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
        ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
        ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    ):
        model, session = optimized(path, level)
        np.testing.assert_array_equal(session.run(None, {"x": identity})[0], weight)
        if level != ort.GraphOptimizationLevel.ORT_DISABLE_ALL:
            assert [node.op_type for node in model.graph.node] == ["MatMul"]
            (constant,) = model.graph.initializer
            np.testing.assert_array_equal(numpy_helper.to_array(constant), weight)


@pytest.fixture(scope="module")
def openvino() -> OpenVinoRuntime:
    return OpenVinoRuntime(1)


@pytest.mark.parametrize("shape", [(16, 40), (7, 11)], ids=["whole words", "a cut word"])
@pytest.mark.parametrize("levels", LEVELS)
def test_openvino_decodes_at_load_too(
    levels: int, shape: tuple[int, int], openvino: OpenVinoRuntime, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    weight = layer(path, levels, shape)
    model = openvino.load(path)
    identity = np.eye(shape[0], dtype=np.float32)
    np.testing.assert_array_equal(model.run({"x": identity})["y"], weight)
    operations = model._compiled.get_runtime_model().get_ops()
    kinds = {op.get_rt_info()["layerType"].value for op in operations}
    assert kinds.isdisjoint({"Gather", "Eltwise", "Convert", "Reduce", "MatMul"})


CODED = [
    Precision(name)
    for name in ("w3", "w2", "ternary", "binary", *(f"palette{bits}" for bits in range(2, 9)))
]


def apply(prepared: OnnxPrepared, choice: Choice, path: Path) -> Policy:
    policy = Policy.of({layer.name: choice for layer in prepared.layers})
    return prepared.apply(policy, path).policy


@pytest.mark.parametrize("precision", CODED)
@pytest.mark.parametrize("model", ["cnn", "text"])
def test_nothing_is_left_to_decode(
    model: str, precision: Precision, zoo: Zoo, tmp_path: Path
) -> None:
    """Once loaded, the artifact has the operators of the uncompressed model, and as many."""
    prepared, path = zoo(model), tmp_path / "candidate.onnx"
    policy = apply(prepared, Choice(precision), path)
    assert {str(choice) for _, choice in policy} == {str(precision)}
    kinds = []
    for each in (prepared.reference.path, path):
        target = tmp_path / each.name
        target.write_bytes(each.read_bytes())
        loaded, _ = optimized(target, ort.GraphOptimizationLevel.ORT_ENABLE_BASIC)
        kinds.append(sorted(node.op_type for node in loaded.graph.node))
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("precision", CODED)
@pytest.mark.parametrize("model", ["mobile", "text", "dense"])
def test_what_is_stored_is_what_was_found(
    model: str, precision: Precision, zoo: Zoo, tmp_path: Path
) -> None:
    """The weight that ONNX Runtime decodes is the solver's, in the layer's own shape."""
    prepared, form = zoo(model), format_of(precision)
    for one in prepared._parts.layers.values():
        weight = prepared._parts.graph.constants[one.weight]
        matrix = to_matrix(one, weight)
        identity = np.broadcast_to(np.eye(matrix.shape[2]), (len(matrix), *2 * matrix.shape[2:]))
        source = Source(one, weight, identity, np.zeros(identity.shape[:2]))
        grid = form.grid(source, source.problem)
        assert grid is not None
        found = grid.nearest(matrix, 0)
        tensors = form.store(source, grid, found)
        assert form.size(one, weight.shape) == sum(len(x.raw_data) for x in tensors)
        choices = {layer.name: Choice() for layer in prepared.layers}
        path = tmp_path / "candidate.onnx"
        prepared.apply(Policy.of({**choices, one.name: Choice(precision)}), path)
        artifact = onnx.load(path)
        for constant in artifact.graph.initializer:
            for own in tensors:
                if own.name == constant.name:
                    constant.CopyFrom(own)
        node = next(x for x in artifact.graph.node if x.name == one.name)
        name = node.input[one.layer.op_type != "Gather"]
        stored = form.read(View(artifact), one, node)
        assert stored is not None
        np.testing.assert_array_equal(stored.nonzero(), to_weight(one, found, weight.shape) != 0)
        artifact.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        result = outputs(artifact, data_of(model))[name]
        wanted = to_weight(one, found, weight.shape)
        np.testing.assert_array_equal(result, wanted.astype(np.float32))


def test_channels_are_removed_first(zoo: Zoo, tmp_path: Path) -> None:
    prepared = zoo("mobile")
    group = prepared.groups[0]
    for precision in ("w2", "ternary", "palette3"):
        choices = {
            layer.name: Choice(
                Precision(precision), *([Channel(0.5)] if layer.name in group.layers else [])
            )
            for layer in prepared.layers
        }
        artifact = prepared.apply(Policy.of(choices), tmp_path / "candidate.onnx")
        assert dict(artifact.policy) == choices
        results = outputs(artifact.path, data_of("mobile"))
        assert all(np.isfinite(array).all() for array in results.values())
