"""A small classifier with data, and broken versions of it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from paretune.evaluators import Artifact, EvaluationContext, Splits, from_arrays, run_batches
from paretune.evaluators.devices.local import LocalDevice
from paretune.evaluators.evaluator import DeviceContext
from paretune.evaluators.measuring.job import Setup
from paretune.spaces import Policy
from tests import models


def artifact(path: Path) -> Artifact:
    return Artifact(path, Policy.of({}), hashlib.sha256(path.read_bytes()).hexdigest())


def mlp_splits(model: Path, *, samples: int = 150, targets: bool = True) -> Splits:
    """Random inputs for `models.mlp`; four of five targets are what the model says."""
    rng = np.random.default_rng(0)
    parts = []
    for count in (32, samples, 64):
        x = rng.standard_normal((count, 8)).astype(np.float32)
        (outputs,) = run_batches(model, from_arrays({"x": x}, batch_size=count), 1)
        labels = outputs["logits"].argmax(axis=1)
        wrong = rng.random(count) < 0.2
        labels[wrong] = rng.integers(0, 4, int(wrong.sum()))
        parts.append(from_arrays({"x": x}, labels if targets else None, batch_size=64))
    return Splits(*parts)


@pytest.fixture
def reference(tmp_path: Path) -> Artifact:
    return artifact(models.mlp(tmp_path / "reference.onnx"))


@pytest.fixture
def candidate(reference: Artifact, tmp_path: Path) -> Artifact:
    return artifact(models.perturbed(reference.path, tmp_path / "candidate.onnx", scale=0.5))


@pytest.fixture
def device() -> Iterator[DeviceContext]:
    """This host."""
    local = LocalDevice()
    yield DeviceContext("host", local, Setup())
    local.close()


@pytest.fixture
def context(reference: Artifact, device: DeviceContext) -> EvaluationContext:
    return EvaluationContext(reference, mlp_splits(reference.path), device)
