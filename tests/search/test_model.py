"""From what a user names as the model to an ONNX file."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from paretune.errors import UserError
from paretune.evaluators import Batch
from paretune.search.backends.onnx import OnnxBackend
from paretune.search.export import export_model
from paretune.search.model import resolve_model
from tests.models import mlp
from tests.search.backends.onnx.running import outputs

# The exporter itself warns about copying tensors in some versions of Python.
pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:torch.*")

SOURCE = """
import torch
from torch import nn

def model():
    torch.manual_seed({seed})
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), torch.ones(1, 6)

def broken():
    raise RuntimeError("no weights here")

def nothing():
    return 3
"""


class Encoder(nn.Module):
    """Two inputs, one of integers, and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 8)
        self.block = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.head = nn.Linear(8, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        tokens = self.block(self.words(ids)) * mask[:, :, None]
        return {"tokens": tokens, "logits": self.head(tokens.mean(dim=1))}


def test_export_names_inputs_outputs_and_layers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Encoder()
    example = {"ids": torch.zeros(1, 5, dtype=torch.int64), "mask": torch.ones(1, 5)}
    path = export_model((module, example), tmp_path / "model.onnx")
    rng = np.random.default_rng(0)
    for size in (1, 3, 7):
        inputs: dict[str, NDArray[Any]] = {
            "ids": rng.integers(0, 20, (size, 5)),
            "mask": rng.random((size, 5)).astype(np.float32),
        }
        found = outputs(path, Batch(inputs))
        expected = module(*(torch.from_numpy(array) for array in inputs.values()))
        assert list(found) == ["tokens", "logits"]
        for name, array in found.items():
            np.testing.assert_allclose(array, expected[name].detach().numpy(), atol=1e-5)
    prepared = OnnxBackend().prepare(path, [Batch(inputs)], tmp_path / "cache", {})
    assert [layer.name for layer in prepared.layers] == ["words", "block.0", "block.2", "head"]
    assert [path.name for path in tmp_path.glob("*model*")] == ["model.onnx"]


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    path = mlp(tmp_path / "m.onnx")
    assert export_model(path, tmp_path / "copy.onnx") == path
    assert resolve_model("m.onnx", tmp_path, tmp_path / "cache") == path


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (3, "must return .* but got int"),
        ((nn.Linear(2, 2), "x"), "example inputs must be tensors"),
        ((nn.Linear(2, 2), torch.tensor(1.0)), "example inputs must be tensors"),
    ],
)
def test_what_cannot_be_exported(made: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        export_model(made, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_function_is_exported_once_in_its_own_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "made_for_this_test.py"
    source.write_text(SOURCE.format(seed=0))
    monkeypatch.syspath_prepend(str(tmp_path))
    spec, cache = "made_for_this_test:model", tmp_path / "cache"
    first = resolve_model(spec, tmp_path, cache)
    assert onnx.load(first).graph.input[0].type.tensor_type.shape.dim[0].dim_param
    written = first.stat().st_mtime_ns
    assert resolve_model(spec, tmp_path, cache) == first
    assert first.stat().st_mtime_ns == written
    assert "made_for_this_test" not in sys.modules
    source.write_text(SOURCE.format(seed=1))
    changed = resolve_model(spec, tmp_path, cache)
    assert changed.read_bytes() != first.read_bytes()
    assert resolve_model(spec, tmp_path, cache, first=True) == first
    with pytest.raises(UserError, match=r"broken raised RuntimeError: no weights here"):
        resolve_model("made_for_this_test:broken", tmp_path, cache)
    with pytest.raises(UserError, match="must return .* but got int"):
        resolve_model("made_for_this_test:nothing", tmp_path, cache)


def test_there_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file .*none.onnx.*allowed are"):
        resolve_model("none.onnx", tmp_path, tmp_path / "cache")
