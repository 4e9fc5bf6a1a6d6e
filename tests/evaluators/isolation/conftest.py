"""Suites in a process of their own, with an evaluator that has any fault."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from paretune.evaluators import Artifact, EvaluationContext
from paretune.evaluators.isolation.suite import IsolatedSuite
from paretune.spaces import Policy
from tests import models
from tests.evaluators.conftest import artifact, mlp_splits
from tests.evaluators.isolation.faulty import install

Start = Callable[..., IsolatedSuite]
SIZE = "size_bytes"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the evaluator `faulty`."""
    monkeypatch.chdir(tmp_path)
    install(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture
def context(tmp_path: Path) -> EvaluationContext:
    reference = artifact(models.mlp(tmp_path / "reference.onnx"))
    return EvaluationContext(reference, mlp_splits(reference.path, samples=64))


@pytest.fixture
def start(folder: Path, context: EvaluationContext) -> Iterator[Start]:
    started = []

    def start(
        *faults: str, wanted: tuple[str, ...] = ("faulty",), options: Any = None, **limits: Any
    ) -> IsolatedSuite:
        configured = [
            {"type": "faulty", "options": {"faults": faults}},
            {"type": "accuracy", "options": options or {}},
        ]
        log = folder / "evaluators.log"
        suite = IsolatedSuite.create(configured, wanted, context, (), log=log, **limits)
        started.append(suite)
        return suite

    yield start
    for suite in started:
        suite.close()


def candidate(folder: Path, number: int) -> Artifact:
    path = models.mlp(folder / f"candidate-{number}.onnx", seed=number + 1)
    return Artifact(path, Policy.of({}), hashlib.sha256(path.read_bytes()).hexdigest())


def process_id(suite: IsolatedSuite) -> int:
    assert suite._worker is not None
    return suite._worker.process_id
