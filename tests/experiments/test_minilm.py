from collections.abc import Iterator

import pytest
import torch
from torch import nn

from experiments.networks import minilm


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "WIDTH": 24,
        "HIDDEN": 48,
        "HEADS": 3,
        "DEPTH": 2,
        "VOCABULARY": 50,
    }.items():
        monkeypatch.setattr(minilm, name, value)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        yield


def test_a_layer_is_torchs_encoder_layer() -> None:
    layer = minilm.Layer().eval()
    oracle = nn.TransformerEncoderLayer(
        24, 3, 48, activation="gelu", layer_norm_eps=1e-12, batch_first=True
    ).eval()
    attention = layer.attention
    parts = [attention.self.query, attention.self.key, attention.self.value]
    oracle.self_attn.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
    oracle.self_attn.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    oracle.self_attn.out_proj.load_state_dict(attention.output.dense.state_dict())
    oracle.linear1.load_state_dict(layer.intermediate[0].state_dict())
    oracle.linear2.load_state_dict(layer.output.dense.state_dict())
    for mine, theirs in (
        (attention.output.LayerNorm, oracle.norm1),
        (layer.output.LayerNorm, oracle.norm2),
    ):
        mine.weight.uniform_(0.5, 2)
        mine.bias.uniform_(-1, 1)
        theirs.load_state_dict(mine.state_dict())
    x = torch.randn(3, 7, 24)
    mask = torch.ones(3, 7, dtype=torch.int64)
    mask[1, 4:] = 0
    expected = oracle(x, src_key_padding_mask=mask == 0)
    assert torch.allclose(layer(x, mask)[mask == 1], expected[mask == 1], atol=1e-5)


def test_padding_changes_nothing() -> None:
    network = minilm.MiniLM(classes=4).eval()
    ids = torch.randint(0, 50, (5, 6))
    padded = torch.cat([ids, torch.randint(0, 50, (5, 3))], dim=1)
    mask = torch.cat([torch.ones(5, 6), torch.zeros(5, 3)], dim=1).long()
    alone = network(ids, torch.ones_like(ids))
    assert alone.shape == (5, 4)
    assert torch.allclose(network(padded, mask), alone, atol=1e-5)


def test_embeddings_have_length_one() -> None:
    network = minilm.MiniLM(classes=4).eval()
    ids = torch.randint(0, 50, (5, 6))
    lengths = network.embed(ids, torch.ones_like(ids)).norm(dim=1)
    assert torch.allclose(lengths, torch.ones(5))
