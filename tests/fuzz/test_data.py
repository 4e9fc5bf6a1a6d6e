"""Whatever a user's data function returns: a measured model, or a message."""

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import event, given
from hypothesis import strategies as st

from paretune.errors import Infeasible, UserError
from paretune.evaluators import Batch, EvaluationContext, Splits
from paretune.evaluators.checking import check_splits
from paretune.evaluators.fingerprint import fingerprint
from paretune.evaluators.isolation.spool import Spool
from paretune.evaluators.isolation.suite import IsolatedSuite
from paretune.evaluators.loading import as_splits
from paretune.evaluators.suite import EvaluatorSuite
from paretune.search.backends.onnx import OnnxBackend
from paretune.spaces import Choice, Policy, Precision
from tests import models
from tests.fuzz.mutating import randoms
from tests.fuzz.odd_data import SPLITS, NoArray, good, mutated

METRICS = ["accuracy", "accuracy_drop", "agreement", "divergence", "size_bytes"]


@cache
def model(kind: str) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "model.onnx"
        return (models.mlp(path) if kind == "mlp" else models.two_inputs(path)).read_bytes()


Suite = Callable[[EvaluationContext, Path], Any]


def in_this_process(context: EvaluationContext, _: Path) -> Any:
    return EvaluatorSuite.create(EVALUATORS, METRICS, context)


def in_another(context: EvaluationContext, folder: Path) -> Any:
    return IsolatedSuite.create(EVALUATORS, METRICS, context, log=folder / "log")


EVALUATORS = [{"type": "accuracy", "options": {"threads": 1, "output": "logits"}}]


def check_data(data: Any, kind: str, suite: Suite = in_this_process) -> bool:
    """What `Workbench.open` and a first trial do; whether it came to figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "model.onnx"
        path.write_bytes(model(kind))
        try:
            with Spool(folder) as spool:
                splits = spool.keep(as_splits(data))
                check_splits(splits, path)
                prepared = OnnxBackend().prepare(path, splits.calibration, folder / "cache", {})
                assert fingerprint(splits)
                int8 = Policy.of({x.name: Choice(Precision.INT8) for x in prepared.layers})
                dense = {x.name: Choice() for x in prepared.layers}
                policy = int8 if kind == "mlp" else Policy.of(dense)
                artifact = prepared.apply(policy, folder / "candidate.onnx")
                with suite(EvaluationContext(prepared.reference, splits), folder) as evaluators:
                    for split in ("search", "test"):
                        measured, _ = evaluators.measure(artifact, split)
                        assert list(measured) == METRICS
        except (UserError, Infeasible) as error:
            assert str(error)
            return False
        finally:
            assert not list(folder.rglob("*.draft"))
        return True


odd = st.builds(
    lambda kind, seed, rng: (mutated(kind, seed, rng), kind),
    *[
        st.sampled_from(["mlp", "mlp", "text"]),
        st.integers(0, 3),
        randoms,
    ],
)


@given(made=odd)
def test_any_data(made: tuple[Any, str]) -> None:
    event("figures" if check_data(*made) else "a message")


def splits_with(**changes: Any) -> Splits:
    rng = np.random.default_rng(0)
    made = {name: good("mlp", rng) for name in SPLITS}
    made["search"] |= changes
    return Splits(*((Batch({"x": arrays["x"]}, arrays["targets"]),) for arrays in made.values()))


RAGGED = [[1.0], [1.0, 2.0]]
EMPTY = Batch({"x": np.zeros((0, 8), np.float32)}, np.zeros(0, np.int64))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (splits_with(x=RAGGED), "batch 0 of 'search': 'x': a list that is no array: ValueError"),
        (splits_with(targets=RAGGED), "'search': the targets: a list that is no array"),
        (splits_with(x=NoArray()), "a NoArray that is no array: RuntimeError: disk on fire"),
        (splits_with(x=torch.ones(6, 8, requires_grad=True)), "a Tensor that is no array"),
        (splits_with(x=np.empty((6, 8), "V0")), "'x' has dtype |V0, but the model takes float32"),
        (
            Splits(splits_with().calibration, (*splits_with().search, EMPTY), splits_with().test),
            "batch 1 of 'search' has no samples; leave it out",
        ),
    ],
)
def test_what_the_message_says(data: Splits, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model("mlp"))
    with pytest.raises(UserError) as caught, Spool(tmp_path) as spool:
        check_splits(spool.keep(as_splits(data)), path)
    assert message in str(caught.value)


@pytest.mark.parametrize("suite", [in_this_process, in_another])
def test_the_data_itself_is_measured(suite: Suite) -> None:
    assert check_data(splits_with(), "mlp", suite)


def test_one_huge_value_in_the_calibration_data() -> None:
    """Which leaves the solver that orders channels a singular matrix."""
    made = splits_with()
    made.calibration[0].inputs["x"][0, 0] = 1e38
    assert check_data(made, "mlp")
