"""The evaluator `memory`."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from paretune.errors import InferenceError, UserError
from paretune.evaluators import Artifact, Batch, EvaluationContext, Splits
from paretune.evaluators.devices.local import LocalDevice
from paretune.evaluators.evaluator import DeviceContext
from paretune.evaluators.measuring.job import Setup
from paretune.evaluators.memory import MemoryOptions, MemoryPlugin
from paretune.plugins import load_plugin
from tests import models
from tests.evaluators.conftest import artifact


@pytest.fixture
def context(context: EvaluationContext) -> Iterator[EvaluationContext]:
    with closing(LocalDevice()) as device:
        yield replace(context, device=DeviceContext("host", device, Setup()))


def test_it_is_installed() -> None:
    assert load_plugin("paretune.evaluators", "memory") is MemoryPlugin
    assert MemoryPlugin.per_device


def test_a_wider_model_takes_more(context: EvaluationContext, tmp_path: Path) -> None:
    options = MemoryOptions(batch=2)
    metrics = MemoryPlugin.metrics(options)
    wide = artifact(models.mlp(tmp_path / "wide.onnx", hidden=1 << 20))
    with closing(MemoryPlugin.create(options, context)) as evaluator:
        small = evaluator.measure(context.reference, metrics, "search")["peak_memory_bytes"]
        large = evaluator.measure(wide, metrics, "test")["peak_memory_bytes"]
    # The weights, 48 MiB, are there twice while they are loaded.
    assert large.value - small.value > 90 * 2**20
    assert small.low is small.high is None
    assert small.conditions["batch"] == 2
    assert small.conditions == large.conditions
    assert small.samples["peak_bytes"] - small.samples["idle_bytes"] == small.value
    json.dumps(small.to_dict())


def test_a_larger_batch_takes_more(context: EvaluationContext, tmp_path: Path) -> None:
    metrics = MemoryPlugin.metrics(MemoryOptions())
    wide = artifact(models.mlp(tmp_path / "wide.onnx", hidden=1 << 14))
    values = []
    for batch in (1, 512):
        with closing(MemoryPlugin.create(MemoryOptions(batch=batch), context)) as evaluator:
            values.append(evaluator.measure(wide, metrics, "search")["peak_memory_bytes"].value)
    # An activation of 512 rows.
    assert values[1] - values[0] > 0.9 * 512 * 2**14 * 4


def test_a_refused_artifact(context: EvaluationContext, candidate: Artifact) -> None:
    options = MemoryOptions()
    with closing(MemoryPlugin.create(options, context)) as evaluator:
        candidate.path.write_text("no model")
        with pytest.raises(InferenceError, match="candidate.onnx"):
            evaluator.measure(candidate, MemoryPlugin.metrics(options), "search")


def test_a_reference_that_does_not_run_is_the_users(
    context: EvaluationContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    reference = artifact(models.two_inputs(tmp_path / "two.onnx", vocabulary=20))
    batches = [Batch({"ids": np.full((2, 4), 99), "mask": np.ones((2, 4), np.float32)})]
    broken = replace(context, reference=reference, splits=Splits(batches, batches, batches))
    with pytest.raises(
        UserError,
        match="evaluator 'memory': device 'host': the model itself: .*out of data bounds",
    ):
        MemoryPlugin.create(MemoryOptions(), broken)
    assert list(folder.iterdir()) == []


def test_a_model_with_another_fixed_batch_size(context: EvaluationContext, tmp_path: Path) -> None:
    fixed = replace(context, reference=artifact(models.mlp(tmp_path / "fixed.onnx", batch=4)))
    with pytest.raises(UserError, match=r"evaluator 'memory': 'batch' is 1, but .* takes only 4"):
        MemoryPlugin.create(MemoryOptions(), fixed)
