"""A whole search whose artifacts take bytes and compute with integers only."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import paretune
from paretune.errors import UserError
from paretune.evaluators import Splits, from_arrays
from paretune.search.backends.onnx.integer_only import float_operators
from paretune.search.config import load_config
from paretune.search.profiling.profile import Profile
from paretune.search.workbench import Workbench, prepare
from paretune.spaces import ONNXRUNTIME_CPU, Precision
from tests.search.tiny import project, write

__all__ = ["project"]

BACKEND: dict[str, Any] = {
    "type": "onnx",
    "solver": "naive",
    "integer_only": True,
    "uint8_inputs": {"image": {"mean": [0.5, 0.4, 0.3], "std": 0.25}},
}


def pixels() -> Splits:
    rng = np.random.default_rng(0)

    def batches(count: int) -> Any:
        images = rng.integers(0, 256, (count, 3, 12, 12), dtype=np.uint8)
        return from_arrays({"image": images}, rng.integers(0, 4, count), batch_size=16)

    return Splits(batches(16), batches(48), batches(48))


def test_a_search(project: Path) -> None:
    study = paretune.tune(
        model="tiny.onnx",
        data=pixels,
        objectives=["accuracy", "size_bytes"],
        space={"precision": ["int8"], "sparsity": ["channel:0.25", "channel:0.5"]},
        backend=BACKEND,
        trials=4,
        progress=False,
    )
    assert set(study.trials["status"]) == {"complete"}
    picked = study.pick(weights={"size_bytes": 1.0})
    model = onnx.load(picked.model)
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert float_operators(model) == []


def test_data_that_are_no_bytes(project: Path) -> None:
    config = load_config(write(project, backend=BACKEND))
    message = "'image' has dtype float32, but the model takes uint8"
    with pytest.raises(UserError, match=message):
        Workbench.open(config)


def test_a_profile_offers_no_more_than_the_backend_builds(project: Path) -> None:
    (project / "board.json").write_text(Profile(ONNXRUNTIME_CPU).to_json())
    devices = {"host": {"type": "local", "profile": "board.json"}}
    config = load_config(write(project, backend=BACKEND, devices=devices))
    _, space = prepare(config, pixels())
    assert set(space.precisions.values()) == {(Precision.INT8,)}
