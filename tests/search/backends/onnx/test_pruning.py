from dataclasses import replace

import numpy as np
import pytest

from paretune.errors import Infeasible
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.pruning import damage, mask
from paretune.spaces import NM, Layer, Unstructured
from tests.search.backends.onnx.conftest import Zoo


def _layer(zoo: Zoo, name: str, layer: str) -> WeightedNode:
    return zoo(name)._parts.layers[layer]


@pytest.mark.parametrize(
    ("model", "name"),
    [("cnn", "block.a"), ("cnn", "head"), ("mobile", "depth"), ("grouped", "group")],
)
def test_damage_is_the_change_of_the_output(model: str, name: str, zoo: Zoo) -> None:
    """Against brute force: E[(w x)²] of each weight on independent inputs."""
    layer = _layer(zoo, model, name)
    weight = zoo(model)._parts.graph.constants[layer.weight]
    inputs = weight.shape[layer.in_axis] * layer.group
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((500, inputs)) * rng.uniform(0.1, 3, inputs)
    moment = (samples**2).mean(axis=0).astype(np.float32)
    found = damage(layer, weight, moment)
    for index in np.ndindex(weight.shape):
        out, inner = index[layer.out_axis], index[layer.in_axis]
        per_group = weight.shape[layer.out_axis] // layer.group
        read = inner if layer.group == 1 else out // per_group * weight.shape[layer.in_axis] + inner
        expected = ((weight[index] * samples[:, read]) ** 2).mean()
        assert found[index] == pytest.approx(expected, rel=1e-4)


def test_damage_of_a_grouped_transposed_convolution(zoo: Zoo) -> None:
    """Its weight has the input channels of all groups along the first axis."""
    layer = replace(_layer(zoo, "dense", "up"), group=2)
    weight = np.random.default_rng(0).standard_normal((16, 2, 2, 2)).astype(np.float32)
    moment = np.arange(16, dtype=np.float32)
    np.testing.assert_allclose(
        damage(layer, weight, moment), weight**2 * moment[:, None, None, None], rtol=1e-6
    )


@pytest.mark.parametrize("amount", [0.1, 0.5, 0.9])
def test_unstructured_drops_exactly_the_lowest(amount: float, zoo: Zoo) -> None:
    scores = np.random.default_rng(0).permutation(160).reshape(16, 10)
    kept = mask(_layer(zoo, "cnn", "block.a"), scores, Unstructured(amount))
    assert set(scores[~kept]) == set(range(round(160 * amount)))


def test_n_of_m_keeps_the_highest_of_every_block(zoo: Zoo) -> None:
    scores = np.random.default_rng(0).standard_normal((8, 10, 3, 3))
    kept = mask(_layer(zoo, "cnn", "block.a"), scores, NM(2, 4))
    for o, i, j in np.ndindex(8, 3, 3):
        for start in (0, 4):
            block = scores[o, start : start + 4, i, j]
            expected = np.isin(np.arange(4), np.argsort(block)[2:])
            np.testing.assert_array_equal(kept[o, start : start + 4, i, j], expected)
        assert kept[o, 8:, i, j].all()


def test_n_of_m_needs_room(zoo: Zoo) -> None:
    layer = _layer(zoo, "cnn", "stem")
    assert not Layer("stem", "Conv", (8, 3, 3, 3), 0, None).fits(NM(2, 4))
    with pytest.raises(Infeasible, match="stem: 2:4 needs 4 inputs, it has 3"):
        mask(layer, np.ones((8, 3, 3, 3)), NM(2, 4))
