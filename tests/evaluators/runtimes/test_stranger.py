"""A runtime that is an entry point of someone else's package goes the whole way, and is checked."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import paretune
from paretune.errors import UserError
from paretune.evaluators import Artifact, EvaluationContext
from paretune.evaluators.accuracy import AccuracyPlugin
from paretune.evaluators.accuracy.plugin import AccuracyOptions
from tests import models
from tests.evaluators.runtimes import stranger

QUICK: dict[str, Any] = {"runtime": "exact", "max_seconds": 0.02, "target": 0.5}


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    stranger.install(site)
    monkeypatch.syspath_prepend(site)
    # For measuring processes.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    model = models.mlp(tmp_path / "fp32.onnx")
    return [model, models.perturbed(model, tmp_path / "other.onnx")]


def test_latency(two: list[Path]) -> None:
    found = paretune.measure(two, **QUICK)
    assert [row.error for row in found.rows] == ["", ""]
    assert found.conditions["runtime"] == "exact CPU"
    assert found.rows[1].figures["latency_ratio"].value > 0
    assert 0 < found.rows[1].samples["latency"]["output_error"] < 1e-5


@pytest.mark.parametrize("error", [0.12, -0.5, float("nan")])
def test_a_candidate_that_it_computes_wrongly_is_not_measured(
    two: list[Path], error: float
) -> None:
    found = paretune.measure(two, runtime_options={"error": error, "where": "other"}, **QUICK)
    assert "latency_ms" in found.rows[0].figures
    assert not found.rows[1].figures
    wrong = "differs from ONNX Runtime's by" if np.isfinite(error) else "is not finite where"
    assert f"output 'logits' {wrong}" in found.rows[1].error


def test_nothing_is_measured_if_it_computes_the_reference_wrongly(two: list[Path]) -> None:
    with pytest.raises(UserError, match=r"'logits' differs from ONNX Runtime's by 12\.0%"):
        paretune.measure(two, runtime_options={"error": 0.12, "where": "fp32"}, **QUICK)


def test_its_options_are_its_own(two: list[Path]) -> None:
    with pytest.raises(UserError, match="runtime 'exact': unknown option 'eror'"):
        paretune.measure(two, runtime_options={"eror": 1}, **QUICK)


def test_accuracy(context: EvaluationContext, candidate: Artifact) -> None:
    figures = []
    for runtime in ("exact", "onnxruntime"):
        options = AccuracyOptions(runtime=runtime)
        metrics = AccuracyPlugin.metrics(options)
        evaluator = AccuracyPlugin.create(options, context)
        figures.append(evaluator.measure(candidate, metrics, "search"))
        evaluator.close()
    exact, plain = figures
    for name, measurement in plain.items():
        assert exact[name].value == pytest.approx(measurement.value, abs=1e-6)
    assert exact["accuracy"].conditions["runtime"] == "exact CPU"
    assert plain["accuracy"].conditions["runtime"] == "onnxruntime CPUExecutionProvider"
