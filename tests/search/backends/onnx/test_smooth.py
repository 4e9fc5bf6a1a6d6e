from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.helper import make_node

from paretune.errors import UserError
from paretune.evaluators import Batch
from paretune.search.backends.onnx import OnnxBackend
from paretune.search.backends.onnx.equalize import equalize
from paretune.search.backends.onnx.graph import Constants, Graph
from paretune.search.backends.onnx.layers import find_layers
from paretune.search.backends.onnx.smooth import channel_absmax, smooth
from paretune.spaces import Choice, Policy, Precision
from tests.models import floats
from tests.search.backends.onnx.graphs import clean_graph, save_network
from tests.search.backends.onnx.running import largest_difference, outputs
from tests.search.backends.onnx.zoo import conv

WIDTH, HEADS, HIDDEN, OUTLIER = 8, 2, 16, 3


def tokens(count: int = 16, seed: int = 1) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch({"x": rng.standard_normal((count, 5, WIDTH)).astype(np.float32)})


def _norm(name: str, source: str, target: str, *, whole: bool) -> list[onnx.NodeProto]:
    """LayerNormalization, or what exporters wrote before there was one."""
    scale, bias = f"{name}.scale", f"{name}.bias"
    if whole:
        return [make_node("LayerNormalization", [source, scale, bias], [target], name, axis=-1)]
    parts = [f"{name}{number}" for number in range(6)]
    mean, centred, square, variance, deviation, unit = parts
    return [
        make_node("ReduceMean", [source, "last"], [mean], f"{name}.mean"),
        make_node("Sub", [source, mean], [centred], f"{name}.sub"),
        make_node("Pow", [centred, "two"], [square], f"{name}.pow"),
        make_node("ReduceMean", [square, "last"], [variance], f"{name}.variance"),
        make_node("Sqrt", [variance], [deviation], f"{name}.sqrt"),
        make_node("Div", [centred, deviation], [unit], f"{name}.div"),
        make_node("Mul", [unit, scale], [f"{name} scaled"], f"{name}.mul"),
        make_node("Add", [f"{name} scaled", bias], [target], f"{name}.add"),
    ]


def _linear(name: str, source: str, target: str) -> list[onnx.NodeProto]:
    return [
        make_node("MatMul", [source, f"{name}.weight"], [f"{name} product"], name),
        make_node("Add", [f"{name} product", f"{name}.bias"], [target], f"{name}.add"),
    ]


def _head(name: str, perm: list[int]) -> list[onnx.NodeProto]:
    return [
        make_node("Reshape", [name, "heads"], [f"{name} split"], f"{name}.split"),
        make_node("Transpose", [f"{name} split"], [f"{name} heads"], f"{name}.turn", perm=perm),
    ]


def transformer(path: Path, *, pre_norm: bool = True, whole: bool = True) -> Path:
    """One block of attention and feed-forward; one channel of its normalizations is an outlier."""
    rng = np.random.default_rng(0)
    read = "n1" if pre_norm else "x0"
    nodes = [
        *([] if pre_norm else _norm("norm0", "x", "x0", whole=whole)),
        *(_norm("norm1", "x", "n1", whole=whole) if pre_norm else []),
        *_linear("query", read, "q"),
        *_linear("key", read, "k"),
        *_linear("value", read, "v"),
        *_head("q", [0, 2, 1, 3]),
        *_head("k", [0, 2, 3, 1]),
        *_head("v", [0, 2, 1, 3]),
        make_node("MatMul", ["q heads", "k heads"], ["scores"], "scores"),
        make_node("Softmax", ["scores"], ["shares"], "shares", axis=-1),
        make_node("MatMul", ["shares", "v heads"], ["mixed"], "mixed"),
        make_node("Transpose", ["mixed"], ["turned"], "turned", perm=[0, 2, 1, 3]),
        make_node("Reshape", ["turned", "joined"], ["joint"], "joint"),
        *_linear("project", "joint", "o"),
        make_node("Add", ["x" if pre_norm else "x0", "o"], ["r1"], "residual1"),
        *_norm("norm2", "r1", "n2", whole=whole),
        *_linear("up", "n2", "u"),
        make_node("Gelu", ["u"], ["g"], "gelu"),
        *_linear("down", "g", "d"),
        make_node("Add", ["r1" if pre_norm else "n2", "d"], ["y"], "residual2"),
    ]
    weights: dict[str, Any] = {
        "heads": np.array([0, 0, HEADS, WIDTH // HEADS], np.int64),
        "joined": np.array([0, 0, WIDTH], np.int64),
        "last": np.array([-1], np.int64),
        "two": np.array(2, np.float32),
    }
    sizes = dict.fromkeys(("query", "key", "value", "project"), (WIDTH, WIDTH))
    for name, shape in {**sizes, "up": (WIDTH, HIDDEN), "down": (HIDDEN, WIDTH)}.items():
        weights[f"{name}.weight"] = floats(rng, *shape) / 2
        weights[f"{name}.bias"] = 0.1 * floats(rng, shape[1])
    for name in ("norm0", "norm1", "norm2"):
        scale = rng.uniform(0.8, 1.2, WIDTH).astype(np.float32)
        scale[OUTLIER] = 80
        weights[f"{name}.scale"] = scale
        weights[f"{name}.bias"] = 0.1 * floats(rng, WIDTH)
    # What reads the outlier keeps it in bounds, as trained networks do.
    for name in ("query", "key", "value", "up"):
        weights[f"{name}.weight"][OUTLIER] /= 40
    used = {name for node in nodes for name in node.input}
    kept = {name: array for name, array in weights.items() if name in used}
    return save_network(path, nodes, kept, ("tokens", WIDTH), rank=3)  # type: ignore[arg-type]


def changed(graph: Graph, model: onnx.ModelProto) -> set[str]:
    before = {tensor.name: tensor for tensor in graph.model.graph.initializer}
    return {tensor.name for tensor in model.graph.initializer if tensor != before[tensor.name]}


@pytest.mark.parametrize("whole", [True, False], ids=["operator", "decomposed"])
@pytest.mark.parametrize("strength", [0.3, 0.5, 1.0])
def test_function_stays(whole: bool, strength: float, tmp_path: Path) -> None:
    graph = clean_graph(transformer(tmp_path / "m.onnx", whole=whole), tokens())
    model = smooth(graph, [tokens()], strength)
    assert len(model.graph.node) == len(graph.nodes)
    linear = ("query", "key", "value", "project", "up")
    assert changed(graph, model) == {
        *(f"{name}.weight" for name in linear),
        *(f"norm{number}.{part}" for number in (1, 2) for part in ("scale", "bias")),
        "value.bias",
    }
    other = Batch({"x": np.concatenate([tokens(seed=2).inputs["x"]] * 2, axis=1)})
    exact = outputs(graph.model, other)
    assert largest_difference(outputs(model, other), exact) < 1e-5


def test_scales_are_the_papers(tmp_path: Path) -> None:
    graph = clean_graph(transformer(tmp_path / "m.onnx"), tokens())
    seen = channel_absmax(graph, ["n2"], [tokens()])["n2"]
    weight = graph.constants["up.weight"]
    scales = np.sqrt(seen / np.abs(weight).max(axis=1))
    model = smooth(graph, [tokens()], 0.5)
    found = Constants(model.graph)
    np.testing.assert_allclose(found["up.weight"], weight * scales[:, None], rtol=1e-5)
    for name in ("norm2.scale", "norm2.bias"):
        np.testing.assert_allclose(found[name], graph.constants[name] / scales, rtol=1e-5)


def test_a_residual_that_reads_the_normalization_is_left_alone(tmp_path: Path) -> None:
    graph = clean_graph(transformer(tmp_path / "m.onnx", pre_norm=False), tokens())
    model = smooth(graph, [tokens()], 0.5)
    assert changed(graph, model) == {"value.weight", "value.bias", "project.weight"}
    assert largest_difference(outputs(model, tokens()), outputs(graph.model, tokens())) < 1e-5


def test_only_what_linear_layers_alone_read(tmp_path: Path) -> None:
    """Of three parts of a `Gemm`'s input: a convolution reads one, too, and one is the image."""
    rng = np.random.default_rng(0)
    nodes = [
        conv("shared", "x", "a"),
        conv("own", "x", "b"),
        conv("reader", "a", "c"),
        make_node("Concat", ["x", "a", "b"], ["all"], "concat", axis=1),
        make_node("GlobalMaxPool", ["all"], ["pooled"], "pool"),
        make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        make_node("Gemm", ["flat", "head.weight", "head.bias"], ["logits"], "head", transB=1),
        make_node("ReduceMax", ["c", "space"], ["rest"], "rest", keepdims=0),
        make_node("Add", ["logits", "rest"], ["y"], "add"),
    ]
    weights: dict[str, Any] = {"space": np.array([2, 3], np.int64)}
    shapes = {"shared": (4, 3, 1, 1), "own": (4, 3, 1, 1), "reader": (2, 4, 1, 1), "head": (2, 11)}
    for name, shape in shapes.items():
        weights |= {f"{name}.weight": floats(rng, *shape), f"{name}.bias": floats(rng, shape[0])}
    pictures = _pictures()
    path = save_network(tmp_path / "m.onnx", nodes, weights, (3, 6, 6))
    graph = clean_graph(path, pictures)
    model = smooth(graph, [pictures], 0.5)
    assert largest_difference(outputs(model, pictures), outputs(graph.model, pictures)) < 1e-5
    head = next(layer.weight for layer in find_layers(graph) if layer.name == "head")
    assert changed(graph, model) == {"own.weight", "own.bias", head}
    factors = Constants(model.graph)[head] / graph.constants[head]
    np.testing.assert_array_equal(factors[:7], 1)
    assert (factors[7:] != 1).all()


def _pictures() -> Batch:
    rng = np.random.default_rng(5)
    return Batch({"x": rng.standard_normal((6, 3, 6, 6)).astype(np.float32)})


def test_equalizing_leaves_normalizations_alone(tmp_path: Path) -> None:
    graph = clean_graph(transformer(tmp_path / "m.onnx"), tokens())
    model = equalize(graph)
    assert changed(graph, model) == {"value.weight", "value.bias", "project.weight"}
    assert largest_difference(outputs(model, tokens()), outputs(graph.model, tokens())) < 1e-5


def test_nothing_to_smooth(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = {"a.weight": floats(rng, WIDTH, WIDTH), "a.bias": floats(rng, WIDTH)}
    path = save_network(tmp_path / "m.onnx", _linear("a", "x", "y"), weights, (5, WIDTH), rank=3)
    graph = clean_graph(path, tokens())
    assert smooth(graph, [tokens()], 0.5) == graph.model


def test_channels_without_a_signal(tmp_path: Path) -> None:
    path = transformer(tmp_path / "m.onnx")
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor).copy()
        if tensor.name.startswith("norm1"):
            array[:2] = 0
        elif tensor.name == "up.weight":
            array[1] = 0
        else:
            continue
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    onnx.save(model, path)
    graph = clean_graph(path, tokens())
    smoothed = smooth(graph, [tokens()], 0.5)
    assert largest_difference(outputs(smoothed, tokens()), outputs(graph.model, tokens())) < 1e-5
    found = Constants(smoothed.graph)
    np.testing.assert_array_equal(found["query.weight"][:2], graph.constants["query.weight"][:2])
    assert found["norm2.scale"][1] == graph.constants["norm2.scale"][1]


@pytest.mark.parametrize("splits", [[16], [10, 6], [1] * 16])
def test_channel_absmax(splits: list[int], tmp_path: Path) -> None:
    graph = clean_graph(transformer(tmp_path / "m.onnx"), tokens())
    parts = np.split(tokens().inputs["x"], np.cumsum(splits)[:-1])
    found = channel_absmax(graph, ["x", "n2"], [Batch({"x": part}) for part in parts])
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info("n2"))
    for name, array in {**tokens().inputs, **outputs(model, tokens())}.items():
        if name in found:
            np.testing.assert_allclose(found[name], np.abs(array).max(axis=(0, 1)), rtol=1e-6)


@pytest.mark.parametrize("whole", [True, False], ids=["operator", "decomposed"])
def test_static_int8_gets_better_with_outliers(whole: bool, tmp_path: Path) -> None:
    path = transformer(tmp_path / "m.onnx", whole=whole)

    def error(**options: Any) -> float:
        prepared = OnnxBackend().prepare(path, [tokens()], tmp_path / "cache", options)
        policy = Policy.of({layer.name: Choice(Precision.INT8) for layer in prepared.layers})
        artifact = prepared.apply(policy, tmp_path / "int8.onnx")
        exact = outputs(prepared.reference.path, tokens(seed=3))["y"]
        return float(np.square(outputs(artifact.path, tokens(seed=3))["y"] - exact).mean())

    assert error(smooth=0.5) < error() / 3


@pytest.mark.parametrize("value", [True, 0, 1.5, -1, "much", float("nan")])
def test_wrong_strength(value: Any, tmp_path: Path) -> None:
    path = transformer(tmp_path / "m.onnx")
    with pytest.raises(UserError, match=r"smooth: must be false or a number above 0 and up to 1"):
        OnnxBackend().prepare(path, [tokens()], tmp_path, {"smooth": value})
