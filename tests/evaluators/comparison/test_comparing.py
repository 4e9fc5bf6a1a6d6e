"""Measuring models beside each other, for real."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import paretune
from paretune.errors import UserError
from tests import models

QUICK: dict[str, Any] = {"max_seconds": 0.02, "target": 0.5}


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    small = models.mlp(tmp_path / "small.onnx", features=64)
    return [small, models.mlp(tmp_path / "large.onnx", features=64, hidden=30_000)]


def test_each_model_beside_the_first(two: list[Path]) -> None:
    found = paretune.measure(two, also=["load", "memory"], **QUICK)
    small, large = found.rows
    assert found.reference == small.model == two[0]
    assert "latency_ratio" not in small.figures
    ratio = large.figures["latency_ratio"]
    assert ratio.value > 1
    assert ratio.low is not None
    assert ratio.high is not None
    assert ratio.low <= ratio.value <= ratio.high
    for row in found.rows:
        figures = {name: m.value for name, m in row.figures.items()}
        assert 0 < figures["latency_ms"] <= figures["latency_p90_ms"] <= figures["latency_p99_ms"]
        assert figures["throughput"] == pytest.approx(1e3 / figures["latency_ms"])
        assert figures["load_ms"] > 0
        assert figures["first_run_ms"] > 0
    # The larger one's weights alone.
    assert large.figures["peak_memory_bytes"].value > 4 * 30_000 * 64
    assert large.figures["peak_memory_bytes"].low is None
    assert found.conditions["threads"] == 1
    assert found.conditions["batch"] == 1
    assert found.inputs == {"x": "float32 (1, 64)"}


def test_the_table_and_the_json_hold_everything(two: list[Path]) -> None:
    found = paretune.measure(two, repeat=2, **QUICK)
    table = found.table
    assert list(table["model"]) == ["small.onnx", "large.onnx"] * 2
    assert list(table["round"]) == [1, 1, 2, 2]
    assert table["latency_ratio"].isna().tolist() == [True, False] * 2
    assert (table["latency_ms_low"] <= table["latency_ms"]).all()
    data = json.loads(json.dumps(found.to_dict()))
    last = data["models"][-1]
    assert last["model"] == str(two[1])
    assert last["figures"]["latency_ms"]["value"] == table["latency_ms"].iloc[-1]
    assert last["samples"]["latency"]["blocks"]["candidate"]
    assert last["samples"]["latency"]["warm_up"]["reference"]
    assert data["conditions"]["runtime"] == "onnxruntime CPUExecutionProvider"
    assert data["units"]["latency_ms"] == "ms"


def test_one_model_has_no_ratio(two: list[Path]) -> None:
    found = paretune.measure(two[0], **QUICK)
    assert len(found.rows) == 1
    assert "latency_ratio" not in found.table
    assert found.table["latency_ms"].iloc[0] > 0


def test_another_reference(two: list[Path]) -> None:
    found = paretune.measure(two[:1], reference=two[1], **QUICK)
    assert [row.model for row in found.rows] == two[::-1]
    assert found.rows[1].figures["latency_ratio"].value < 1


def test_given_inputs_and_batches(two: list[Path]) -> None:
    found = paretune.measure(two[0], inputs={"x": np.ones((7, 64), np.float32)}, **QUICK)
    assert found.inputs == {"x": "float32 (7, 64)"}
    assert found.conditions["batch"] == 7
    figures = found.rows[0].figures
    assert figures["throughput"].value == pytest.approx(7e3 / figures["latency_ms"].value)
    with pytest.raises(UserError, match="inputs that are given have their own batch"):
        paretune.measure(two[0], inputs={"x": np.ones((7, 64), np.float32)}, batch=7)


def test_equal_file_names_are_told_apart(two: list[Path], tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    other = models.mlp(tmp_path / "sub" / "small.onnx", features=64)
    found = paretune.measure([two[0], other], **QUICK)
    assert list(found.table["model"]) == [str(two[0]), str(other)]


def test_a_model_that_does_not_run_has_the_reason(two: list[Path], tmp_path: Path) -> None:
    broken = onnx.load(two[0])
    broken.graph.node[0].op_type = "Gem"
    onnx.save(broken, tmp_path / "broken.onnx")
    found = paretune.measure([two[0], tmp_path / "broken.onnx", two[1]], **QUICK)
    assert [bool(row.error) for row in found.rows] == [False, True, False]
    assert "ONNX Runtime cannot load" in found.table["error"].iloc[1]
    assert np.isnan(found.table["latency_ms"].iloc[1])
    with pytest.raises(UserError, match="the model itself: .*ONNX Runtime cannot load"):
        paretune.measure([tmp_path / "broken.onnx", two[0]], **QUICK)


def test_weights_in_a_file_beside_it(tmp_path: Path) -> None:
    model = onnx.load(models.mlp(tmp_path / "whole.onnx"))
    path = tmp_path / "split.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert paretune.measure([tmp_path / "whole.onnx", path], **QUICK).rows[1].error == ""


def test_openvino_beside_onnxruntime(tmp_path: Path) -> None:
    model = models.cnn(tmp_path / "cnn.onnx")
    noisy = models.perturbed(model, tmp_path / "noisy.onnx")
    found = paretune.measure([model, noisy], runtime="openvino", **QUICK)
    assert [row.error for row in found.rows] == ["", ""]
    assert found.conditions["runtime"] == "openvino CPU f32"
    assert found.rows[1].figures["latency_ratio"].value > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": []}, "no model to measure"),
        ({"models": "none.onnx"}, "no model file 'none.onnx'"),
        (
            {"also": ["loud"]},
            "cannot also measure 'loud'; nearest is 'load'; allowed are load",
        ),
        ({"runtime": "openvno"}, "no plugin 'openvno' .*; nearest is 'openvino'"),
        ({"runtime_options": {"provder": 1}}, "unknown option 'provder'; nearest is 'provider'"),
        ({"threads": 0}, "threads"),
        ({"cpus": [4096]}, "'cpus' holds 4096"),
        ({"device": "locl"}, "'locl'"),
        ({"batch": 2, "models": "fixed"}, "so the batch cannot be 2"),
    ],
)
def test_mistakes(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    model = models.mlp(tmp_path / "mlp.onnx")
    given = {"models": model, **arguments}
    if given["models"] == "fixed":
        given["models"] = models.mlp(tmp_path / "fixed.onnx", batch=3)
    with pytest.raises(UserError, match=message):
        paretune.measure(**given)


def test_models_that_take_other_inputs(two: list[Path], tmp_path: Path) -> None:
    image = models.cnn(tmp_path / "cnn.onnx")
    with pytest.raises(UserError, match=r"'.*cnn.onnx' has no input 'x'; it takes 'image' float32"):
        paretune.measure([two[0], image], **QUICK)
