from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from experiments import cache
from experiments.training import Recipe, fit, reproducible

RECIPE = Recipe(epochs=3, batch_size=10, max_rate=1e-2)


def trained(seed: int) -> dict[str, Tensor]:
    images = torch.linspace(-1, 1, 25 * 4).reshape(25, 1, 2, 2)
    labels = (torch.arange(25) > 12).long()
    with reproducible(seed, threads=1):
        network = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
        fit(network, images, labels, RECIPE)
    assert not network.training
    return network.state_dict()


def test_the_same_seed_gives_the_same_weights() -> None:
    a, b, other = trained(1), trained(1), trained(2)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["1.weight"], other["1.weight"])


def test_seeds_and_threads_are_put_back() -> None:
    threads = torch.get_num_threads()
    before = torch.random.get_rng_state()
    trained(1)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cache, "FOLDER", tmp_path / "cache")
    return tmp_path / "cache"


def test_a_recipe_is_computed_once(folder: Path) -> None:
    calls = []

    def compute() -> dict[str, Tensor]:
        calls.append(1)
        return {"x": torch.tensor([1.5])}

    first, again = (cache.cached("name", RECIPE, compute) for _ in range(2))
    assert first["x"] == again["x"] == 1.5
    assert len(calls) == 1
    cache.cached("name", Recipe(4, 10, 1e-2), compute)
    assert len(calls) == 2


def test_a_failure_leaves_nothing(folder: Path) -> None:
    def fail() -> dict[str, Tensor]:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        cache.cached("name", RECIPE, fail)
    assert not folder.exists()
