"""Helpers for users' data functions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from paretune.errors import UserError
from paretune.evaluators import from_arrays, from_dataloader, from_npz


@given(samples=st.integers(1, 40), batch_size=st.integers(1, 50))
def test_arrays_are_cut_without_loss(samples: int, batch_size: int) -> None:
    x = np.arange(samples * 3).reshape(samples, 3)
    y = np.arange(samples)
    batches = from_arrays({"x": x}, y, batch_size=batch_size)
    assert [b.size for b in batches[:-1]] == [batch_size] * (len(batches) - 1)
    np.testing.assert_array_equal(np.concatenate([b.inputs["x"] for b in batches]), x)
    labels = [b.targets for b in batches if b.targets is not None]
    np.testing.assert_array_equal(np.concatenate(labels), y)


@pytest.mark.parametrize(
    ("inputs", "targets", "batch_size", "message"),
    [
        ({"x": np.zeros(3)}, None, 0, "batch_size must be at least 1, but got 0"),
        ({}, None, 8, "at least one input"),
        ({"x": np.zeros(3)}, np.zeros(4), 8, "input 'x' has 3, targets has 4"),
        ({"x": np.zeros(3), "z": np.zeros(2)}, None, 8, "input 'x' has 3, input 'z' has 2"),
        ({"x": np.float32(1)}, None, 8, "input 'x' must have the samples as first dimension"),
    ],
)
def test_arrays_that_do_not_fit(inputs: Any, targets: Any, batch_size: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_arrays(inputs, targets, batch_size=batch_size)


def test_npz(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    x = np.arange(10.0).reshape(5, 2)
    np.savez(path, x=x, labels=np.arange(5), more=np.zeros(1))
    batches = from_npz(path, inputs=["x"], targets="labels", batch_size=2)
    assert [b.size for b in batches] == [2, 2, 1]
    np.testing.assert_array_equal(batches[2].inputs["x"], x[4:])
    assert from_npz(path, inputs=["x"])[0].targets is None
    with pytest.raises(UserError, match="holds no array 'y'; it holds x, labels, more"):
        from_npz(path, inputs=["x"], targets="y")


def test_npz_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file"):
        from_npz(tmp_path / "none.npz", inputs=["x"])
    text = tmp_path / "text.npz"
    text.write_text("hello")
    plain = tmp_path / "plain.npy"
    np.save(plain, np.zeros(3))
    truncated = tmp_path / "truncated.npz"
    np.savez(truncated, x=np.zeros(100))
    truncated.write_bytes(truncated.read_bytes()[:200])
    for path in (text, plain, truncated):
        with pytest.raises(UserError, match=f"{path.name}' cannot be read as an .npz file"):
            from_npz(path, inputs=["x"])


def test_torch_dataloader_of_pairs() -> None:
    x, y = torch.arange(12.0).reshape(6, 2), torch.arange(6)
    loader = DataLoader(TensorDataset(x, y), batch_size=4)
    batches = from_dataloader(loader, input_names=["x"])
    assert [b.size for b in batches] == [4, 2]
    np.testing.assert_array_equal(batches[1].inputs["x"], x[4:].numpy())
    np.testing.assert_array_equal(batches[1].targets, [4, 5])
    assert len(from_dataloader(loader, input_names=["x"], limit=1)) == 1


def test_dataloader_of_nested_pairs_mappings_and_single_tensors() -> None:
    a, b, y = torch.ones(2, 1, requires_grad=True), torch.zeros(2, 1), torch.tensor([0, 1])
    (nested,) = from_dataloader([((a, b), y)], input_names=["a", "b"])
    assert list(nested.inputs) == ["a", "b"]
    items = [{"a": a, "b": b, "label": y}]
    (mapped,) = from_dataloader(items, input_names=["b"], target_name="label")
    assert list(mapped.inputs) == ["b"]
    np.testing.assert_array_equal(mapped.targets, [0, 1])
    (single,) = from_dataloader([b], input_names=["x"])
    assert single.targets is None


@pytest.mark.parametrize(
    ("item", "names", "message"),
    [
        ((np.ones(2), np.ones(2), np.ones(2)), ["x"], "but got a tuple of 3"),
        (((np.ones(2), np.ones(2)), np.ones(2)), ["x"], "yields 2 inputs, but input_names has 1"),
        ({"x": np.ones(2)}, ["z"], "items have no 'z'; they have x"),
        (np.ones(2), [], "at least one model input"),
    ],
)
def test_items_of_another_form(item: Any, names: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_dataloader([item], input_names=names)
