"""A whole search that runs in a second: a residual CNN of a few channels, random images."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import models

DATA = """
import numpy as np
from paretune.evaluators import Splits, from_arrays


def data(samples=48, name="image", dtype=np.float32, size=12, classes=4):
    rng = np.random.default_rng(0)

    def batches(count):
        images = rng.standard_normal((count, 3, size, size)).astype(dtype)
        return from_arrays({name: images}, rng.integers(0, classes, count), batch_size=16)

    return Splits(batches(16), batches(samples), batches(samples))


def missing_split():
    return {"calibration": data().calibration, "search": data().search}


def no_samples():
    return {"calibration": data().calibration, "search": data().search, "test": []}


def wrong_name():
    return data(name="picture")


def wrong_dtype():
    return data(dtype=np.float64)


def wrong_shape():
    return data(size=11)


def wrong_targets():
    return data(classes=40)


def broken():
    raise RuntimeError("disk on fire")


def features():
    rng = np.random.default_rng(0)

    def batches(count):
        x = rng.standard_normal((count, 8)).astype(np.float32)
        return from_arrays({"x": x}, rng.integers(0, 4, count), batch_size=16)

    return Splits(batches(16), batches(48), batches(48))
"""


def config(**changes: Any) -> dict[str, Any]:
    """Accuracy against size: no clock, so the same figures at every run."""
    return {
        "model": "tiny.onnx",
        "data": "tiny_data:data",
        "objectives": ["accuracy", "size_bytes"],
        "space": {"precision": ["int8", "w8"], "sparsity": ["channel:0.5"]},
        "search": {"trials": 12, "sampler": "nsga2"},
        "tracking": {"uri": None},
        "output": "runs/tiny",
        **changes,
    }


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, a data module and `tiny.yaml`; it is the current one."""
    models.cnn(tmp_path / "tiny.onnx", channels=16)
    (tmp_path / "tiny_data.py").write_text(DATA, encoding="utf-8")
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "tiny_data", raising=False)
    return tmp_path


def write(folder: Path, **changes: Any) -> Path:
    """Write `tiny.yaml`."""
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(config(**changes)), encoding="utf-8")
    return path
