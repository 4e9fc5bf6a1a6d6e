"""Accuracy, agreement and divergence on a model whose answers are known."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from scipy import special, stats

from paretune.errors import Infeasible, UserError
from paretune.evaluators import (
    Artifact,
    Batch,
    EvaluationContext,
    Measurement,
    Splits,
    from_arrays,
    run_batches,
)
from paretune.evaluators.accuracy import AccuracyOptions, AccuracyPlugin
from paretune.evaluators.data import Array
from paretune.evaluators.evaluator import SplitName
from paretune.evaluators.intervals import paired_shares, wilson
from tests import models
from tests.evaluators.conftest import artifact, mlp_splits


def measure(
    context: EvaluationContext,
    measured: Artifact,
    names: list[str],
    split: SplitName = "search",
    **options: Any,
) -> Mapping[str, Measurement]:
    parsed = AccuracyOptions(**options)
    metrics = [m for m in AccuracyPlugin.metrics(parsed) if m.name in names]
    evaluator = AccuracyPlugin.create(parsed, context)
    try:
        return evaluator.measure(measured, metrics, split)
    finally:
        evaluator.close()


def outputs_of(measured: Artifact, context: EvaluationContext) -> np.ndarray:
    parts = run_batches(measured.path, context.splits.search)
    return np.concatenate([outputs["logits"] for outputs in parts])


def labels(context: EvaluationContext) -> np.ndarray:
    return np.concatenate([b.targets for b in context.splits.search if b.targets is not None])


ALL = ["accuracy", "accuracy_drop", "agreement", "divergence"]


def test_equals_a_plain_computation(context: EvaluationContext, candidate: Artifact) -> None:
    measured = measure(context, candidate, ALL)
    ours, theirs = outputs_of(candidate, context), outputs_of(context.reference, context)
    right = ours.argmax(1) == labels(context)
    right_before = theirs.argmax(1) == labels(context)
    same = ours.argmax(1) == theirs.argmax(1)
    assert 0.2 < right.mean() < 1
    assert 0.5 < same.mean() < 1

    accuracy = measured["accuracy"]
    assert accuracy.value == right.mean()
    assert (accuracy.low, accuracy.high) == wilson(int(right.sum()), 150)
    assert accuracy.samples == {"count": 150}
    assert accuracy.conditions["split"] == "search"

    drop = measured["accuracy_drop"]
    assert drop.value == pytest.approx(right_before.mean() - right.mean(), abs=1e-12)
    gained, lost = int((right_before & ~right).sum()), int((right & ~right_before).sum())
    assert (drop.low, drop.high) == paired_shares(gained, lost, 150)

    assert measured["agreement"].value == same.mean()
    expected = stats.entropy(special.softmax(theirs, 1), special.softmax(ours, 1), axis=1)
    divergence = measured["divergence"]
    assert divergence.value == pytest.approx(expected.mean(), rel=1e-4)
    assert divergence.low is not None
    assert divergence.high is not None
    assert 0 < divergence.low < divergence.value < divergence.high


def test_the_reference_loses_nothing_against_itself(context: EvaluationContext) -> None:
    measured = measure(context, context.reference, ALL)
    assert measured["accuracy_drop"].value == 0
    assert measured["agreement"].value == 1
    assert measured["divergence"].value == 0


@pytest.mark.parametrize("split", ["search", "test"])
def test_repeats_to_the_last_digit_with_any_threads(
    context: EvaluationContext, candidate: Artifact, split: SplitName
) -> None:
    first = measure(context, candidate, ALL, split, threads=1)
    assert first == measure(context, candidate, ALL, split, threads=1)
    assert first == measure(context, candidate, ALL, split, threads=3)
    assert first["accuracy"].samples["count"] == (150 if split == "search" else 64)


def test_one_evaluator_measures_many_artifacts_and_metric_sets(
    context: EvaluationContext, candidate: Artifact
) -> None:
    options = AccuracyOptions()
    evaluator = AccuracyPlugin.create(options, context)
    metrics = AccuracyPlugin.metrics(options)
    (accuracy,) = evaluator.measure(candidate, metrics[:1], "search").values()
    both = evaluator.measure(candidate, metrics, "search")
    again = evaluator.measure(context.reference, metrics, "search")
    assert both["accuracy"] == accuracy
    assert again["agreement"].value == 1
    evaluator.close()


def test_without_labels_agreement_still_works(reference: Artifact, candidate: Artifact) -> None:
    context = EvaluationContext(reference, mlp_splits(reference.path, targets=False))
    assert 0.5 < measure(context, candidate, ["agreement", "divergence"])["agreement"].value < 1
    with pytest.raises(UserError, match="targets of 'search' are missing.*'agreement'"):
        measure(context, candidate, ["accuracy"])


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (np.array([0, 1, 4]), r"must be in 0 to 3 \(4 classes\), but got 4"),
        (np.array([0, -1, 2]), "must be in 0 to 3 .* but got -1"),
        (np.array([0.0, 1.0, 2.0]), r"class indices \(integers\), but their dtype is float64"),
        (np.eye(3, 4, dtype=np.int64), r"have shape \(3, 4\), but class scores of shape \(3, 4\)"),
        (np.array([[0], [1], [2]]), r"have shape \(3, 1\), .* need \(3,\)"),
    ],
)
def test_targets_that_are_no_class_indices(
    reference: Artifact, targets: np.ndarray, message: str
) -> None:
    batches = [Batch({"x": np.ones((3, 8), np.float32)}, targets)]
    context = EvaluationContext(reference, Splits(batches, batches, batches))
    with pytest.raises(UserError, match=message):
        measure(context, reference, ["accuracy"])
    assert measure(context, reference, ["agreement"])["agreement"].value == 1


def test_bad_test_data_is_found_before_the_search(context: EvaluationContext) -> None:
    (first, *_) = context.splits.test
    wrong = [Batch(first.inputs, np.full(first.size, 7))]
    splits = Splits(context.splits.calibration, context.splits.search, wrong)
    with pytest.raises(UserError, match="targets of 'test' must be in 0 to 3"):
        measure(EvaluationContext(context.reference, splits), context.reference, ["accuracy"])


def nan_context(tmp_path: Path, bad: int) -> EvaluationContext:
    """A reference that is finite on data where `nan_model` is not for `bad` samples."""
    x = np.ones((10, 8), np.float32)
    x[:bad] = -1
    batches = from_arrays({"x": x}, np.zeros(10, np.int64), batch_size=4)
    reference = artifact(models.mlp(tmp_path / "finite.onnx"))
    return EvaluationContext(reference, Splits(batches, batches, batches))


def test_nan_in_a_candidate_is_infeasible(tmp_path: Path) -> None:
    broken = artifact(models.nan_model(tmp_path / "nan.onnx"))
    with pytest.raises(Infeasible, match="output 'logits' holds NaN for 5 of 10 samples"):
        measure(nan_context(tmp_path, 5), broken, ["accuracy"])


def test_nan_in_the_model_itself_is_the_users(tmp_path: Path) -> None:
    broken = artifact(models.nan_model(tmp_path / "nan.onnx"))
    context = EvaluationContext(broken, nan_context(tmp_path, 3).splits)
    with pytest.raises(UserError, match="model itself, on the split 'search': .* NaN for 3 of 10"):
        measure(context, broken, ["agreement"])


def test_data_that_the_model_cannot_run_is_the_users(tmp_path: Path) -> None:
    reference = artifact(models.two_inputs(tmp_path / "two.onnx", vocabulary=20))
    inputs = {"ids": np.full((2, 4), 99), "mask": np.ones((2, 4), np.float32)}
    batches = from_arrays(inputs, np.zeros(2, np.int64))
    context = EvaluationContext(reference, Splits(batches, batches, batches))
    with pytest.raises(UserError, match="the model itself, on the split 'search': .*out of data"):
        measure(context, reference, ["agreement"])


def test_another_output_with_positions(tmp_path: Path) -> None:
    reference = artifact(models.two_inputs(tmp_path / "two.onnx"))
    rng = np.random.default_rng(0)
    inputs: dict[str, Array] = {
        "ids": rng.integers(0, 20, (6, 5)),
        "mask": np.ones((6, 5), np.float32),
    }
    (outputs,) = run_batches(reference.path, from_arrays(inputs))
    targets = outputs["tokens"].argmax(-1)
    targets[0, :2] = (targets[0, :2] + 1) % 8
    batches = from_arrays(inputs, targets, batch_size=4)
    context = EvaluationContext(reference, Splits(batches, batches, batches))
    measured = measure(context, reference, ALL, output="tokens")
    assert measured["accuracy"].value == pytest.approx(28 / 30)
    assert measured["agreement"].value == 1


def test_an_unknown_output(context: EvaluationContext) -> None:
    with pytest.raises(
        UserError, match=r"no output 'logit'; nearest is 'logits'; allowed are logits"
    ):
        measure(context, context.reference, ALL, output="logit")


def test_an_output_without_class_scores(tmp_path: Path) -> None:
    reference = artifact(models.mlp(tmp_path / "one.onnx", classes=1))
    batches = from_arrays({"x": np.ones((3, 8), np.float32)}, np.zeros(3, np.int64))
    context = EvaluationContext(reference, Splits(batches, batches, batches))
    with pytest.raises(UserError, match=r"is float32 of shape \(3, 1\), but class scores"):
        measure(context, reference, ["agreement"])


def test_a_model_that_ends_in_a_softmax_diverges_alike(tmp_path: Path) -> None:
    def build(name: str, scale: float, *, softmax: bool) -> Artifact:
        weight = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
        weight[0] *= scale
        last = [helper.make_node("Softmax", ["z"], ["y"], axis=1)] if softmax else []
        matmul = helper.make_node("MatMul", ["x", "w"], ["z" if softmax else "y"])
        path = models.save(
            tmp_path / f"{name}.onnx",
            [matmul, *last],
            {"x": (TensorProto.FLOAT, ["n", 4])},
            {"y": (TensorProto.FLOAT, ["n", 3])},
            {"w": weight},
        )
        return artifact(path)

    x = np.random.default_rng(1).standard_normal((20, 4)).astype(np.float32)
    batches = from_arrays({"x": x})
    values = []
    for softmax in (False, True):
        context = EvaluationContext(
            build("before", 1, softmax=softmax), Splits(batches, batches, batches)
        )
        after = build("after", 2, softmax=softmax)
        values.append(measure(context, after, ["divergence"])["divergence"].value)
    assert values[0] == pytest.approx(values[1], rel=1e-4)
    assert values[0] > 0.01
