"""Removing channels re-fits what reads them: checked on the values that run through the model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.helper import make_node

from paretune.search.backends.onnx import OnnxBackend
from paretune.search.backends.onnx.calibration import observe
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.matrices import to_matrix
from paretune.search.backends.onnx.parts import Parts
from paretune.search.backends.onnx.quantize import least_weight_scale
from paretune.search.backends.onnx.removal import Removal
from paretune.search.backends.onnx.solvers.problem import Matrix
from paretune.search.backends.onnx.sources import loses_inputs, source_of
from paretune.search.backends.onnx.unfold import unfolding_of
from paretune.spaces import Channel, ChannelGroup, Choice, Policy
from tests.models import floats
from tests.search.backends.onnx.conftest import Zoo
from tests.search.backends.onnx.running import largest_difference, outputs
from tests.search.backends.onnx.zoo import conv, data_of, image_model, images, prepare

NAMES = ["cnn", "mobile", "dense"]


def _halved(parts: Parts, groups: Sequence[ChannelGroup] = ()) -> Policy:
    """Half of the channels of some groups are removed, or of all."""
    tied = {layer for group in groups or parts.channels.groups for layer in group.layers}
    gone = Choice(sparsity=Channel(0.5))
    return Policy.of({name: gone if name in tied else Choice() for name in parts.layers})


def _removal(parts: Parts) -> Removal:
    return Removal.of(_halved(parts), parts.channels, parts.order)


def _read(parts: Parts, layer: WeightedNode, name: str) -> Matrix:
    """All vectors that a layer multiplies, shape (vectors, columns)."""
    values = observe(parts.graph.model, data_of(name))[layer.data]
    unfolding = unfolding_of(layer)
    assert unfolding is not None
    every = np.arange(unfolding.count(values.shape))
    return np.concatenate([piece[0] for piece in unfolding.vectors(values, every)])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_left_is_the_least_squares(name: str, zoo: Zoo) -> None:
    """Against `numpy.linalg.lstsq` on the calibration data; a bias is a column of ones."""
    parts = zoo(name)._parts
    removal = _removal(parts)
    refitted = [layer for layer in parts.layers.values() if loses_inputs(layer, removal)]
    assert refitted
    for layer in refitted:
        weight = parts.graph.constants[layer.weight]
        source = source_of(parts.graph, parts.statistics, layer, removal)
        x, columns = _read(parts, layer, name), removal.columns(layer)
        rows = to_matrix(layer, removal.cut(layer.weight, weight, layer.out_axis))[0]
        kept = x[:, columns]
        ones = np.ones((len(x), 1 if source.shift is not None else 0))
        design, target = np.hstack([kept, ones]), x @ rows.T
        best = np.linalg.lstsq(design, target)[0]
        shift = 0 if source.shift is None else source.shift
        found = kept @ source.problem.weights[0].T + shift
        error = np.square(target - found).mean(axis=0).sum()
        least = np.square(target - design @ best).mean(axis=0).sum()
        plain = np.square(target - kept @ rows[:, columns].T).mean(axis=0).sum()
        size = np.square(target).mean(axis=0).sum()
        assert least - 1e-6 * size <= error <= least * 1.01 + 1e-4 * size
        assert error <= plain
        assert source.lost == pytest.approx(error, rel=1e-3, abs=1e-5 * size)
        left = np.cov(kept.T, bias=True) if source.shift is not None else kept.T @ kept / len(x)
        np.testing.assert_allclose(source.moment[0], left, atol=1e-5 * np.abs(left).max())


def test_nothing_removed_leaves_the_weight_as_it_is(zoo: Zoo) -> None:
    parts = zoo("cnn")._parts
    nothing = Removal.of(Policy.of(dict.fromkeys(parts.layers, Choice())), parts.channels, {})
    for layer in parts.layers.values():
        source = source_of(parts.graph, parts.statistics, layer, nothing)
        assert not loses_inputs(layer, nothing)
        assert source.shift is None
        assert source.lost == 0
        np.testing.assert_array_equal(source.weight, parts.graph.constants[layer.weight])


@pytest.mark.parametrize("name", NAMES)
def test_refitting_keeps_more_of_the_output(name: str, zoo: Zoo, tmp_path: Path) -> None:
    """Of the whole model, against the naive order without re-fitting, one group at a time."""
    batch = data_of(name)
    ours, plain = zoo(name), prepare(name, tmp_path, solver="naive")
    reference = outputs(ours.reference.path, batch)["logits"]
    both, lost = (ours, plain), []
    for group in ours.groups:
        policy = _halved(ours._parts, [group])
        models = [one.apply(policy, tmp_path / f"{one.fingerprint}.onnx").path for one in both]
        found = [outputs(model, batch)["logits"] for model in models]
        lost.append([np.square(logits - reference).mean() for logits in found])
    best, naive = np.sum(lost, axis=0)
    assert best < 0.7 * naive


def test_channels_that_repeat_others_cost_nothing(tmp_path: Path) -> None:
    """Half of the stem's channels are multiples of the others."""
    rng = np.random.default_rng(0)
    weight, bias = floats(rng, 8, 3, 3, 3), floats(rng, 8)
    weight[[1, 4, 6, 7]] = 2 * weight[[0, 2, 3, 5]]
    bias[[1, 4, 6, 7]] = 2 * bias[[0, 2, 3, 5]]
    nodes = [
        conv("stem", "image", "s"),
        make_node("Relu", ["s"], ["r"], "relu"),
        make_node("Conv", ["r", "next.weight"], ["n"], "next"),
        make_node("GlobalAveragePool", ["n"], ["p"], "pool"),
        make_node("Flatten", ["p"], ["logits"], "flatten"),
    ]
    weights = {"stem.weight": weight, "stem.bias": bias, "next.weight": floats(rng, 4, 8, 3, 3)}
    path = image_model(tmp_path / "copies.onnx", nodes, weights)
    whole = OnnxBackend().prepare(path, [images()], tmp_path / "cache", {})
    half = whole.apply(_halved(whole._parts), tmp_path / "half.onnx")
    # On images that were not in the calibration data.
    fresh = images(seed=1)
    found, expected = outputs(half.path, fresh), outputs(whole.reference.path, fresh)
    assert largest_difference(found, expected) < 1e-3
    node = next(n for n in onnx.load(half.path).graph.node if n.name == "next")
    assert len(node.input) == 3, "the mean of what is gone needs a bias"


def test_the_bias_may_not_overflow_after_refitting(zoo: Zoo) -> None:
    """The least scale of static int8 weights is that of the bias as it becomes."""
    parts = zoo("cnn")._parts
    layer = next(x for x in parts.layers.values() if x.bias and loses_inputs(x, _removal(parts)))
    scale = np.array(1e-12, np.float32)
    source = source_of(parts.graph, parts.statistics, layer, _removal(parts), scale)
    bias = _removal(parts).cut(layer.bias, parts.graph.constants[layer.bias])
    assert source.shift is not None
    assert source.least_scale is not None
    expected = least_weight_scale(bias + source.shift, scale)
    np.testing.assert_allclose(source.least_scale, expected, rtol=1e-6)
    assert np.abs(expected / least_weight_scale(bias, scale) - 1).max() > 0.01
