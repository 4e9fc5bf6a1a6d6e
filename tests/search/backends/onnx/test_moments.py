from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.helper import make_node

from paretune.errors import UserError
from paretune.evaluators import Batch
from paretune.search.backends.onnx import backend, moments
from paretune.search.backends.onnx.calibration import Statistics, calibrate, observe
from paretune.search.backends.onnx.graph import Array, Constants, Graph
from paretune.search.backends.onnx.layers import WeightedNode, find_layers
from paretune.search.backends.onnx.matrices import to_matrix
from paretune.search.backends.onnx.moments import Moments, MomentSums, passes
from paretune.search.backends.onnx.unfold import Unfolding
from tests.models import floats, save
from tests.search.backends.onnx.zoo import data_of, images, prepare

Values = dict[str, Any]


def graph_of(
    folder: Path, nodes: list[onnx.NodeProto], x: Array, weights: dict[str, Array]
) -> Graph:
    """A graph that reads `x` and writes what its nodes write."""
    free = ["batch", *x.shape[1:]]
    outputs = {
        node.output[0]: (TensorProto.FLOAT, [f"d{i}" for i in range(x.ndim)]) for node in nodes
    }
    folder.mkdir(exist_ok=True)
    path = save(folder / "m.onnx", nodes, {"x": (TensorProto.FLOAT, free)}, outputs, weights)
    model = onnx.load(path)
    seen = observe(model, Batch({"x": x[:1]}))
    return Graph(model, Constants(model.graph), {n: a.shape for n, a in seen.items()}, 1)


def single(
    folder: Path, op_type: str, x: Array, weight: Array, **values: Any
) -> tuple[Graph, WeightedNode, Statistics, Array]:
    """A model of one layer without bias, its statistics and its true output."""
    node = make_node(op_type, ["x", "w"], ["y"], "layer", **values)
    graph = graph_of(folder, [node], x, {"w": weight})
    layers = find_layers(graph)
    statistics = calibrate(graph, layers, [Batch({"x": x})], folder / "moments")
    output = observe(graph.model, Batch({"x": x}))["y"]
    return graph, layers[0], statistics, output


def normal(*shape: int, seed: int = 0) -> Array:
    """Correlated channels with means that are not zero."""
    drawn = np.random.default_rng(seed).standard_normal(shape)
    drawn = drawn + 0.5 * np.roll(drawn, 1, axis=1) + 0.3
    return drawn.astype(np.float32)


SPATIAL: list[tuple[tuple[int, ...], tuple[int, ...], Values]] = [
    ((4, 3, 9), (5, 3, 4), {"pads": [1, 2], "strides": [2]}),
    ((3, 4, 9, 8), (6, 4, 3, 3), {"pads": [1, 1, 1, 1]}),
    ((3, 4, 9, 8), (6, 4, 3, 2), {"pads": [2, 0, 1, 1], "strides": [2, 3], "dilations": [2, 1]}),
    ((3, 4, 9, 8), (6, 2, 3, 3), {"group": 2, "dilations": [1, 2]}),
    ((3, 6, 9, 8), (6, 1, 3, 3), {"group": 6, "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ((3, 3, 9, 8), (6, 1, 3, 3), {"group": 3}),
    ((3, 4, 9, 8), (6, 4, 1, 1), {"strides": [2, 2]}),
    ((3, 4, 9, 8), (6, 4, 4, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ((3, 4, 9, 8), (6, 4, 4, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    ((3, 4, 9, 8), (6, 4, 2, 2), {"auto_pad": "SAME_LOWER"}),
    ((3, 4, 9, 8), (6, 4, 4, 3), {"auto_pad": "VALID", "strides": [1, 3]}),
    ((2, 2, 4, 5, 6), (3, 2, 2, 3, 2), {"pads": [1, 0, 1, 0, 1, 1], "strides": [1, 2, 1]}),
]


@pytest.mark.parametrize(("shape", "kernel", "values"), SPATIAL, ids=str)
def test_a_convolutions_output_follows_from_the_moments(
    shape: tuple[int, ...], kernel: tuple[int, ...], values: Values, tmp_path: Path
) -> None:
    weight = normal(*kernel, seed=1)
    _, layer, statistics, output = single(tmp_path, "Conv", normal(*shape), weight, **values)
    by_channel = np.moveaxis(output.astype(np.float64), 1, 0).reshape(output.shape[1], -1)
    check_output(statistics, to_matrix(layer, weight), by_channel)


@pytest.mark.parametrize(
    ("shape", "op_type"), [((7, 5), "Gemm"), ((7, 5), "MatMul"), ((2, 3, 4, 5), "MatMul")]
)
def test_a_products_output_follows_from_the_moments(
    shape: tuple[int, ...], op_type: str, tmp_path: Path
) -> None:
    weight = normal(5, 6, seed=1)
    _, layer, statistics, output = single(tmp_path, op_type, normal(*shape), weight)
    rows = np.moveaxis(output.astype(np.float64), -1, 0).reshape(6, -1)
    check_output(statistics, to_matrix(layer, weight), rows)


@pytest.mark.parametrize("group", [1, 2])
def test_a_transposed_convolutions_output_follows_from_the_moments(
    group: int, tmp_path: Path
) -> None:
    """Windows do not overlap, so that each output position is one product."""
    weight = normal(4, 3, 2, 3, seed=1)
    _, layer, statistics, output = single(
        tmp_path, "ConvTranspose", normal(3, 4, 5, 6), weight, strides=[2, 3], group=group
    )
    samples, channels, high, wide = output.shape
    split = output.astype(np.float64).reshape(samples, channels, high // 2, 2, wide // 3, 3)
    rows = split.transpose(1, 3, 5, 0, 2, 4).reshape(channels * 6, -1)
    check_output(statistics, to_matrix(layer, weight), rows)


def check_output(statistics: Statistics, weights: Array, output: Array) -> None:
    """E[y²] and E[y] of every output.

    Args:
        weights: shape (groups, rows, columns).
        output: (outputs, values).
    """
    moment, mean = statistics.moment("layer"), statistics.mean("layer")
    groups, _, columns = weights.shape
    assert moment.shape == (groups, columns, columns)
    assert mean.shape == (groups, columns)
    squares = np.einsum("grc,gcd,grd->gr", weights, moment, weights).reshape(-1)
    np.testing.assert_allclose(squares, np.square(output).mean(axis=1), rtol=1e-5)
    means = np.einsum("grc,gc->gr", weights, mean).reshape(-1)
    np.testing.assert_allclose(means, output.mean(axis=1), rtol=1e-5, atol=1e-6)


def test_moments_of_a_convolution_are_those_of_its_windows(tmp_path: Path) -> None:
    """Every entry, from the definition."""
    x = normal(2, 4, 7, 6)
    values = {"group": 2, "strides": [2, 1], "dilations": [1, 2], "pads": [1, 0, 2, 1]}
    _, _, statistics, output = single(tmp_path, "Conv", x, normal(6, 2, 3, 2), **values)
    padded = np.pad(x.astype(np.float64), [(0, 0), (0, 0), (1, 2), (0, 1)])
    for group in range(2):
        vectors = [
            [padded[n, c, 2 * i + a, j + 2 * b] for a, b, c in product(range(3), range(2), part)]
            for n, i, j in product(*(range(output.shape[axis]) for axis in (0, 2, 3)))
            for part in [range(2 * group, 2 * group + 2)]
        ]
        expected = np.array(vectors).T @ np.array(vectors) / len(vectors)
        np.testing.assert_allclose(statistics.moment("layer")[group], expected, rtol=1e-6)
        np.testing.assert_allclose(statistics.mean("layer")[group], np.mean(vectors, axis=0))
    diagonal = np.einsum("gcc->gc", statistics.moment("layer"))
    np.testing.assert_array_equal(statistics.inputs.diagonal("layer"), diagonal)


def test_windows_that_overlap_in_the_output_do_not_matter(tmp_path: Path) -> None:
    x = normal(3, 4, 5, 6)
    _, _, statistics, _ = single(
        tmp_path, "ConvTranspose", x, normal(4, 2, 3, 3), strides=[1, 1], pads=[1, 1, 1, 1]
    )
    vectors = np.moveaxis(x, 1, -1).reshape(-1, 4).astype(np.float64)
    expected = vectors.T @ vectors / len(vectors)
    np.testing.assert_allclose(statistics.moment("layer")[0], expected, rtol=1e-6)


def test_layers_that_read_alike_share_a_file(tmp_path: Path) -> None:
    x = normal(4, 5, 6)
    nodes = [make_node("MatMul", ["x", name], [f"y{name}"], name) for name in "qkv"]
    nodes.append(make_node("Conv", ["x", "c"], ["yc"], "conv"))
    rng = np.random.default_rng(0)
    weights: dict[str, Array] = {name: floats(rng, 6, 3) for name in "qkv"}
    graph = graph_of(tmp_path, nodes, x, {**weights, "c": floats(rng, 2, 5, 3)})
    folder = tmp_path / "moments"
    found = calibrate(graph, find_layers(graph), [Batch({"x": x})], folder)
    assert len(list(folder.iterdir())) == 2
    np.testing.assert_array_equal(found.moment("q"), found.moment("v"))
    assert found.moment("q").shape == (1, 6, 6)
    assert found.moment("conv").shape == (1, 15, 15)


def test_gather_multiplies_nothing(tmp_path: Path) -> None:
    prepared = prepare("text", tmp_path)
    statistics = prepared._parts.statistics
    np.testing.assert_array_equal(statistics.moment("embed"), np.eye(8)[None])
    np.testing.assert_array_equal(statistics.mean("embed"), np.zeros((1, 8)))


def test_chunks_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "_LEAST_VECTORS", 100)
    monkeypatch.setattr(moments, "_VECTORS_PER_COLUMN", 0)
    x = normal(9, 3, 8, 8)
    graph, layer, whole, _ = single(tmp_path, "Conv", x, normal(4, 3, 3, 3))
    monkeypatch.setattr("paretune.search.backends.onnx.unfold._PIECE_VALUES", 7 * 27)
    monkeypatch.setattr("paretune.search.backends.onnx.calibration._CHUNK_VALUES", 2_000)
    batches = [Batch({"x": x[:2]}), Batch({"x": x[2:3]}), Batch({"x": x[3:]})]
    split = calibrate(graph, [layer], batches, tmp_path / "split")
    np.testing.assert_allclose(split.moment("layer"), whole.moment("layer"), rtol=1e-6)
    np.testing.assert_allclose(split.mean("layer"), whole.mean("layer"))


def test_wide_layers_are_added_up_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = normal(3, 4, 6, 6)
    _, _, whole, _ = single(tmp_path / "a", "Conv", x, normal(4, 2, 3, 3), group=2)
    monkeypatch.setattr(moments, "_BLOCK", 5)
    _, _, blocks, _ = single(tmp_path / "b", "Conv", x, normal(4, 2, 3, 3), group=2)
    np.testing.assert_allclose(blocks.moment("layer"), whole.moment("layer"), rtol=1e-6)


@pytest.mark.parametrize("positions", [28 * 28, 30 * 30, 1000, 1])
def test_a_part_of_the_vectors_stands_for_all(positions: int) -> None:
    """Also where values depend on the row, the column and the sample, as at the borders."""
    samples = 400
    where = np.arange(positions)
    x = np.stack([where % 28 == 0, where // 28 == 27, where % 2 == 0, np.ones(positions)], axis=1)
    brightness = np.linspace(0, 2, samples)[:, None, None]
    array = np.concatenate([brightness * x, np.broadcast_to(x[:, :2], (samples, positions, 2))], 2)
    sums = MomentSums(Unfolding("x", 6), samples * positions)
    for chunk in np.array_split(array.astype(np.float32), 7):
        sums.add(chunk)
    taken = sums._taken
    assert taken == pytest.approx(min(20_000, samples * positions), rel=0.01)
    flat = array.reshape(-1, 6)
    expected = np.square(flat).mean(axis=0)
    # A random draw is 5% off where a feature and a sample meet.
    np.testing.assert_allclose(sums.result()["diagonal"][0], expected, rtol=0.05)
    np.testing.assert_allclose(sums.result()["mean"][0], flat.mean(axis=0), rtol=0.05)


def test_several_passes_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = prepare("mobile", tmp_path)._parts
    layers = list(parts.layers.values())
    unfoldings = Moments(tmp_path, layers).unfoldings
    assert len(list(passes(unfoldings))) == 1
    once = calibrate(parts.graph, layers, [data_of("mobile")], tmp_path / "once")
    largest = max(u.groups * u.columns**2 for u in unfoldings)
    monkeypatch.setattr(moments, "LIMIT_VALUES", largest)
    assert len(list(passes(unfoldings))) > 1
    again = calibrate(parts.graph, layers, [data_of("mobile")], tmp_path / "again")
    assert once.ranges == again.ranges
    files = [sorted((tmp_path / name).iterdir()) for name in ("once", "again")]
    assert len(files[0]) == len(unfoldings)
    for one, other in zip(*files, strict=True):
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes()


def test_too_wide_a_layer_keeps_its_diagonal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = normal(3, 4, 6, 6)
    _, _, whole, _ = single(tmp_path / "a", "Conv", x, normal(4, 4, 3, 3))
    monkeypatch.setattr(moments, "LIMIT_VALUES", 36 * 36 - 1)
    _, _, wide, _ = single(tmp_path / "b", "Conv", x, normal(4, 4, 3, 3))
    expected = np.diag(whole.moment("layer")[0].diagonal())[None]
    np.testing.assert_array_equal(wide.moment("layer"), expected)
    np.testing.assert_array_equal(wide.mean("layer"), whole.mean("layer"))


@pytest.mark.parametrize("samples", [1, 5])
def test_inputs_that_say_little_are_no_trouble(samples: int, tmp_path: Path) -> None:
    """Dead, constant, repeated, huge and tiny inputs, fewer vectors than columns."""
    x = np.ones((samples, 6), np.float32)
    x[:, 0] = 0
    x[:, 2] = x[:, 3] = np.arange(samples)
    x[:, 4] *= np.float32(3e38)
    x[:, 5] *= np.float32(1e-44)
    weight = floats(np.random.default_rng(0), 6, 3) * np.float32(1e-3)
    _, _, statistics, _ = single(tmp_path, "MatMul", x, weight)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(statistics.moment("layer")[0], wide.T @ wide / samples, rtol=1e-6)
    np.testing.assert_allclose(statistics.mean("layer")[0], wide.mean(axis=0))


def test_no_vectors_mean_nothing_is_known(tmp_path: Path) -> None:
    x = np.zeros((2, 0, 5), np.float32)
    _, _, statistics, _ = single(tmp_path, "MatMul", x, normal(5, 3))
    np.testing.assert_array_equal(statistics.moment("layer"), np.eye(5)[None])
    np.testing.assert_array_equal(statistics.mean("layer"), np.zeros((1, 5)))


def test_nan_in_a_layers_input_is_refused(tmp_path: Path) -> None:
    nodes = [
        make_node("Log", ["x"], ["l"], "log"),
        make_node("ConvTranspose", ["l", "w"], ["u"], "up"),
    ]
    x = np.abs(normal(2, 3, 4, 4))
    graph = graph_of(tmp_path, nodes, x, {"w": normal(3, 2, 2, 2)})
    x[1, 0, 0, 0] = -1
    with pytest.raises(UserError, match=r"NaN or infinity .*'l', written by log"):
        calibrate(graph, find_layers(graph), [Batch({"x": x})], tmp_path / "moments")


def test_a_second_prepare_reads_them_from_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare("mobile", tmp_path)._parts
    monkeypatch.setattr(backend, "calibrate", None)
    second = prepare("mobile", tmp_path)._parts
    assert first.statistics.ranges == second.statistics.ranges
    for name in first.layers:
        np.testing.assert_array_equal(first.statistics.moment(name), second.statistics.moment(name))


def test_an_interrupted_calibration_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prepare("mobile", tmp_path / "whole")._parts
    saved: list[MomentSums] = []
    save_one = Moments.save

    def interrupt(self: Moments, sums: MomentSums) -> None:
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(sums)
        save_one(self, sums)

    monkeypatch.setattr(Moments, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare("mobile", tmp_path / "cut")
    assert not list((tmp_path / "cut").rglob("statistics.npz"))
    assert len(list((tmp_path / "cut").rglob("moments/*"))) == 2
    monkeypatch.setattr(Moments, "save", save_one)
    again = prepare("mobile", tmp_path / "cut")._parts
    for name in whole.layers:
        np.testing.assert_array_equal(whole.statistics.moment(name), again.statistics.moment(name))


def test_lost_files_are_made_again(tmp_path: Path) -> None:
    first = prepare("cnn", tmp_path)._parts
    expected = first.statistics.moment("stem")
    for path in tmp_path.rglob("moments/*.npz"):
        path.unlink()
    assert np.array_equal(prepare("cnn", tmp_path)._parts.statistics.moment("stem"), expected)


def test_no_samples_are_a_clear_error(tmp_path: Path) -> None:
    parts = prepare("cnn", tmp_path)._parts
    empty = [images(0)]
    with pytest.raises(UserError, match="no samples"):
        calibrate(parts.graph, list(parts.layers.values()), empty, tmp_path / "moments")


def test_ranges_are_collected_where_nothing_is_multiplied() -> None:
    assert list(passes([])) == [[]]
