"""A model that would take the search down with it."""

from pathlib import Path

import onnx
import pytest

from paretune.errors import UserError
from paretune.evaluators import Splits
from paretune.search.backends.onnx import OnnxBackend
from paretune.search.rehearsal import rehearse
from tests.evaluators.isolation.broken_models import break_model
from tests.models import cnn
from tests.search.backends.onnx.zoo import images

SPLITS = Splits((images(),), (images(),), (images(),))


def broken(folder: Path, how: str) -> Path:
    model = cnn(folder / "model.onnx")
    break_model(model, how)
    if how != "no model":
        whole = onnx.load(model)
        for name in ("batch", "classes"):
            whole.graph.output[0].type.tensor_type.shape.dim.add(dim_param=name)
        onnx.save(whole, model)
    return model


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("crash", "the process that prepares the model was killed by SIGFPE"),
        ("endless", "the process that prepares the model took longer than 2 s and was ended"),
        ("nan", "the model returns NaN or infinity on the calibration data"),
        ("no model", "is no ONNX file, or a truncated one"),
    ],
)
def test_a_message_instead_of_a_crash(how: str, message: str, tmp_path: Path) -> None:
    model, cache = broken(tmp_path, how), tmp_path / "cache"
    with pytest.raises(UserError, match=message):
        rehearse("onnx", model, SPLITS, cache, {}, seconds=2 if how == "endless" else 60)
    # The next attempt is as careful.
    assert not [path for path in cache.iterdir() if path.is_file()]


def test_the_work_is_done_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, cache = cnn(tmp_path / "model.onnx"), tmp_path / "cache"
    rehearse("onnx", model, SPLITS, cache, {})
    made = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    prepared = OnnxBackend().prepare(model, SPLITS.calibration, cache, {})
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == made
    assert prepared.reference.path.is_file()
    # No process is started for a model that was prepared before.
    monkeypatch.setattr("paretune.search.rehearsal.Worker", None)
    rehearse("onnx", model, SPLITS, cache, {})
