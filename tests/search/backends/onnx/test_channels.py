"""Removing channels physically must equal ignoring them: zeros in all weights that read them."""

import pytest

from paretune.spaces import Channel, ChannelGroup, Choice, Policy
from tests.search.backends.onnx.conftest import Zoo
from tests.search.backends.onnx.running import ignoring, largest_difference, outputs
from tests.search.backends.onnx.zoo import ZOO, data_of

EXPECTED = {
    "cnn": {("stem", "block.b"): 8, ("block.a",): 8, ("down",): 16},
    "mobile": {("expand", "depth", "excite"): 16, ("reduce",): 8, ("project",): 8},
    "dense": {("left",): 16, ("right",): 24, ("merge",): 16},
    "grouped": {},
    "text": {},
    "switched_off": {("stem",): 8},
    "encoder": {
        ("layer0.attention.key", "layer0.attention.query", "layer0.attention.value"): 32,
        ("layer0.mlp.up",): 48,
        ("layer1.attention.key", "layer1.attention.query", "layer1.attention.value"): 32,
        ("layer1.mlp.up",): 48,
    },
}


@pytest.mark.parametrize("name", ZOO)
def test_groups(name: str, zoo: Zoo) -> None:
    assert {group.layers: group.size for group in zoo(name).groups} == EXPECTED[name]


@pytest.mark.parametrize("name", ["cnn", "mobile", "dense", "encoder"])
@pytest.mark.parametrize("amount", [0.25, 0.5])
def test_removed_equals_ignored(name: str, amount: float, zoo: Zoo, tmp_path: object) -> None:
    from pathlib import Path

    prepared = zoo(name)
    tied = {layer: group for group in prepared.groups for layer in group.layers}
    for chosen in [*prepared.groups, None]:
        policy = Policy.of(
            {
                layer.name: Choice(sparsity=Channel(amount))
                if layer.name in tied and chosen in (None, tied[layer.name])
                else Choice()
                for layer in prepared.layers
            }
        )
        artifact = prepared.apply(policy, Path(str(tmp_path)) / "pruned.onnx")
        assert artifact.policy == policy
        ignored = ignoring(prepared._parts, policy)
        batch = data_of(name)
        assert largest_difference(outputs(artifact.path, batch), outputs(ignored, batch)) < 1e-5
        assert artifact.path.stat().st_size < prepared.reference.path.stat().st_size


def test_group_names_its_first_layer(zoo: Zoo) -> None:
    assert zoo("cnn").groups[0] == ChannelGroup("stem", ("stem", "block.b"), 8)
