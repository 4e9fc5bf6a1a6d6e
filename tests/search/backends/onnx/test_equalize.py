from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.helper import make_node

from paretune.evaluators import Batch
from paretune.search.backends.onnx import OnnxBackend
from paretune.search.backends.onnx.equalize import equalize
from paretune.search.backends.onnx.layers import find_layers
from paretune.spaces import Choice, Policy, Precision
from tests.models import cnn, floats
from tests.search.backends.onnx.graphs import clean_graph, graph_with, save_network
from tests.search.backends.onnx.running import largest_difference, outputs
from tests.search.backends.onnx.zoo import conv, images, switched_off

WIDTH = 8


def samples() -> Batch:
    rng = np.random.default_rng(1)
    return Batch({"x": rng.standard_normal((8, 3, 10, 10)).astype(np.float32)})


def uneven(path: Path, *, bias: float = 0.0) -> Path:
    """A convolution, a depthwise and a pointwise one whose channels differ by up to 1,000."""
    rng = np.random.default_rng(0)
    first, second = (10.0 ** rng.uniform(-1.5, 1.5, WIDTH) for _ in range(2))
    wide = (-1, 1, 1, 1)
    weights: dict[str, Any] = {
        "first.weight": floats(rng, WIDTH, 3, 3, 3) * first.reshape(wide),
        "depth.weight": floats(rng, WIDTH, 1, 3, 3) * (second / first).reshape(wide),
        "point.weight": floats(rng, WIDTH, WIDTH, 1, 1) / second.reshape(1, -1, 1, 1),
        "last.weight": floats(rng, 4, WIDTH, 1, 1),
    }
    weights |= {
        f"{name}.bias": bias * floats(rng, len(weights[f"{name}.weight"]))
        for name in ("first", "depth", "point", "last")
    }
    nodes = [
        conv("first", "x", "a"),
        make_node("Relu", ["a"], ["ar"], "a.relu"),
        conv("depth", "ar", "b", group=WIDTH),
        make_node("Relu", ["b"], ["br"], "b.relu"),
        conv("point", "br", "c"),
        make_node("Add", ["c", "br"], ["sum"], "sum"),
        make_node("LeakyRelu", ["sum"], ["sr"], "sum.relu"),
        conv("last", "sr", "d"),
        make_node("GlobalAveragePool", ["d"], ["p"], "pool"),
        make_node("Flatten", ["p"], ["y"], "flatten"),
    ]
    arrays = {name: array.astype(np.float32) for name, array in weights.items()}
    return save_network(path, nodes, arrays, (3, 10, 10))


def weights_of(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """By layer."""
    graph = graph_with(model, {name: (2, 1, 1, 1) for n in model.graph.node for name in n.output})
    return {layer.name: graph.constants[layer.weight] for layer in find_layers(graph)}


def test_channels_become_as_wide_written_as_read(tmp_path: Path) -> None:
    graph = clean_graph(uneven(tmp_path / "m.onnx"), samples())
    model = equalize(graph)
    assert largest_difference(outputs(model, samples()), outputs(graph.model, samples())) < 1e-5
    found = {name: np.abs(weight) for name, weight in weights_of(model).items()}
    kernels = found["depth"].max(axis=(1, 2, 3))
    np.testing.assert_allclose(found["first"].max(axis=(1, 2, 3)), kernels, rtol=0.01)
    # The sum ties what the depthwise and the pointwise convolution write.
    written = np.maximum(kernels, found["point"].max(axis=(1, 2, 3)))
    read = np.maximum(found["point"].max(axis=(0, 2, 3)), found["last"].max(axis=(0, 2, 3)))
    np.testing.assert_allclose(written, read, rtol=0.01)
    before = np.abs(weights_of(graph.model)["first"]).max(axis=(1, 2, 3))
    assert np.ptp(np.log(kernels)) < np.ptp(np.log(before)) / 2


def test_one_scale_a_tensor_suffices(tmp_path: Path) -> None:
    graph = clean_graph(uneven(tmp_path / "m.onnx"), samples())
    exact = outputs(graph.model, samples())["y"]

    def error(model: onnx.ModelProto) -> float:
        """Of the output with all weights in int8, one scale a tensor."""
        rounded = onnx.ModelProto()
        rounded.CopyFrom(model)
        for tensor in rounded.graph.initializer:
            if tensor.name.endswith(".weight"):
                weight = numpy_helper.to_array(tensor)
                scale = np.abs(weight).max() / np.float32(127)
                changed = np.round(weight / scale) * scale
                tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
        return float(np.square(outputs(rounded, samples())["y"] - exact).mean())

    assert error(equalize(graph)) < error(graph.model) / 10


def test_a_channel_that_is_off_is_not_blown_up(tmp_path: Path) -> None:
    batch = images()
    graph = clean_graph(switched_off(tmp_path / "m.onnx"), batch)
    model = equalize(graph)
    assert largest_difference(outputs(model, batch), outputs(graph.model, batch)) < 1e-5
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        assert np.isfinite(array).all()
        # Its weights are 1e-20, but the bias that its readers see is 1.
        assert np.abs(array).max() < 10


def test_weights_of_zeros_only(tmp_path: Path) -> None:
    path = uneven(tmp_path / "m.onnx", bias=1)
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(
            numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(tensor)), tensor.name)
        )
    onnx.save(model, path)
    graph = clean_graph(path, samples())
    assert equalize(graph) == graph.model


def test_same_bytes(tmp_path: Path) -> None:
    graph = clean_graph(uneven(tmp_path / "m.onnx", bias=1), samples())
    first, second = equalize(graph), equalize(graph)
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(
        deterministic=True
    )
    assert first != graph.model


@pytest.mark.parametrize("builder", [uneven, cnn], ids=["uneven", "cnn"])
def test_backend_option(builder: Any, tmp_path: Path) -> None:
    path = builder(tmp_path / "m.onnx")
    batch = samples() if builder is uneven else images()
    plain = OnnxBackend().prepare(path, [batch], tmp_path / "cache", {})
    made = OnnxBackend().prepare(path, [batch], tmp_path / "cache", {"equalize": True})
    assert made.fingerprint != plain.fingerprint
    exact = outputs(plain.reference.path, batch)
    assert plain.reference.path.read_bytes() != made.reference.path.read_bytes()
    assert largest_difference(outputs(made.reference.path, batch), exact) < 1e-5
    # What calibration saw is what the rescaled graph computes.
    assert made._parts.statistics.ranges != plain._parts.statistics.ranges
    policy = Policy.of({layer.name: Choice(Precision.INT8) for layer in made.layers})
    artifact = made.apply(policy, tmp_path / "int8.onnx")
    assert largest_difference(outputs(artifact.path, batch), exact) < 0.1
