"""Measuring answers part by part."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paretune.errors import Infeasible
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
from paretune.evaluators.accuracy.evaluator import AccuracyEvaluator
from paretune.evaluators.data import Array
from paretune.evaluators.part import Part
from tests import models
from tests.evaluators.conftest import artifact, mlp_splits

ALL = "accuracy accuracy_drop agreement divergence loss loss_drop margin margin_drop"
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)


def loss(outputs: Mapping[str, Array], targets: Array) -> Array:
    """Cross-entropy: no score is negative, and any may be large."""
    logits = outputs["logits"].astype(np.float64)
    logits = logits - logits.max(axis=1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    picked: Array = -log_p[np.arange(len(targets)), targets]
    return picked


def margin(outputs: Mapping[str, Array], targets: Array) -> Array:
    """More is better, without limit."""
    return -loss(outputs, targets)


FUNCTIONS = {
    "loss": {"function": loss, "direction": "minimize"},
    "margin": {"function": margin, "direction": "maximize"},
}


@pytest.fixture
def context(reference: Artifact) -> EvaluationContext:
    return EvaluationContext(reference, mlp_splits(reference.path, samples=640))


class Counting:
    """A runtime that counts the samples that run."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self.samples: list[int] = []
        self.loads = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def load(self, path: Path, parallel: int = 1) -> Any:
        self.loads += 1
        model = self._runtime.load(path, parallel)
        outer = self

        class Model:
            def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
                outer.samples.append(len(next(iter(feeds.values()))))
                found: dict[str, Array] = model.run(feeds)
                return found

        return Model()


def start(
    context: EvaluationContext, taught: str = "", **options: Any
) -> tuple[AccuracyEvaluator, Counting]:
    """An evaluator that has seen candidates enough: the metrics `taught` of them."""
    evaluator = AccuracyPlugin.create(AccuracyOptions(threads=1, **options), context)
    counting = Counting(evaluator._runtime)
    evaluator._runtime = counting
    if taught:
        teach(evaluator, context, metrics_of(*taught.split()))
    counting.samples.clear()
    return evaluator, counting


def teach(evaluator: AccuracyEvaluator, context: EvaluationContext, metrics: list[Any]) -> None:
    reference = context.reference.path
    for seed in range(6):
        path = reference.with_name(f"taught-{seed}.onnx")
        models.perturbed(reference, path, scale=0.2 + 0.1 * seed, seed=seed + 10)
        evaluator.measure(artifact(path), metrics, "search")


def metrics_of(*names: str) -> list[Any]:
    options = AccuracyOptions.model_validate({"functions": FUNCTIONS})
    found = {metric.name: metric for metric in AccuracyPlugin.metrics(options)}
    return [found[name] for name in names] if names else list(found.values())


def part(share: float) -> Part:
    return Part(share)


def test_every_metric_ends_at_the_figures_of_the_whole_split(
    context: EvaluationContext, candidate: Artifact
) -> None:
    metrics = metrics_of()
    evaluator, counting = start(context, ALL, functions=FUNCTIONS)
    whole = evaluator.measure(candidate, metrics, "search")
    counting.samples.clear()
    counting.loads = 0
    found = [evaluator.measure(candidate, metrics, "search", part(share)) for share in SHARES]
    # No sample runs twice, and the model is loaded once.
    assert (sum(counting.samples), counting.loads) == (640, 1)
    for metric in metrics:
        name = metric.name
        steps = [one[name] for one in found]
        assert [s.samples["count"] for s in steps] == [40, 80, 160, 320, 640]
        assert {s.samples["of"] for s in steps} == {640}
        assert [s.partial for s in steps] == [True, True, True, True, False]
        last = steps[-1]
        assert last.value == pytest.approx(whole[name].value, abs=1e-6)
        assert last.low == pytest.approx(whole[name].low, abs=1e-6)
        assert all(s.conditions == whole[name].conditions for s in steps)
        assert last.best == last.value
        for step in steps[:-1]:
            assert step.low is not None and step.high is not None
            assert step.low <= step.value <= step.high
            assert Measurement.from_dict(step.to_dict()) == step
            if name in ("margin", "margin_drop"):
                assert step.best is None
            elif metric.direction == "minimize":
                assert step.best is not None and step.best <= last.value
            else:
                assert step.best is not None and step.best >= last.value


def test_estimates_are_paired_with_fp32(context: EvaluationContext, candidate: Artifact) -> None:
    evaluator, _ = start(context, "accuracy accuracy_drop")
    accuracy, drop = metrics_of("accuracy", "accuracy_drop")
    fp32 = evaluator.measure(context.reference, [accuracy], "search")["accuracy"].value
    found = evaluator.measure(candidate, [accuracy, drop], "search", part(1 / 8))
    assert found["accuracy"].value == pytest.approx(fp32 - found["accuracy_drop"].value)
    assert found["accuracy"].best == pytest.approx(fp32 - found["accuracy_drop"].samples["best"])


def test_the_fp32_model_can_be_told_from_a_worse_one_soon(
    context: EvaluationContext, candidate: Artifact
) -> None:
    """The fifth of the samples on which it errs, and few more, are enough to see what is lost."""
    evaluator, _ = start(context, "accuracy")
    metrics = metrics_of("accuracy")
    whole = evaluator.measure(candidate, metrics, "search")["accuracy"].value
    fp32 = evaluator.measure(context.reference, metrics, "search")["accuracy"].value
    found = evaluator.measure(candidate, metrics, "search", part(1 / 2))["accuracy"]
    assert found.best is not None
    assert whole <= found.best < fp32


def test_without_experience_nothing_is_expected_of_a_part(
    context: EvaluationContext, candidate: Artifact
) -> None:
    evaluator, counting = start(context)
    found = evaluator.measure(candidate, metrics_of("accuracy"), "search", part(1 / 8))["accuracy"]
    # Those of fp32 on both splits, and all of the candidate's.
    assert sum(counting.samples) == 640 + 64 + 640
    assert found.samples == {"count": 640, "of": 640}
    assert not found.partial


def test_a_part_is_of_this_artifact_only(
    context: EvaluationContext, candidate: Artifact, tmp_path: Path
) -> None:
    evaluator, counting = start(context, "accuracy agreement")
    metrics = metrics_of("accuracy", "agreement")
    other = artifact(models.perturbed(candidate.path, tmp_path / "other.onnx", scale=0.5))
    evaluator.measure(candidate, metrics, "search", part(1 / 8))
    evaluator.measure(other, metrics, "search", part(1 / 8))
    counting.samples.clear()
    back = evaluator.measure(candidate, metrics, "search", part(1 / 4))
    assert sum(counting.samples) == 160
    # Asked for less than is known, it is still what is known.
    assert evaluator.measure(candidate, metrics, "search", part(1 / 8)) == back


def test_the_whole_split_is_always_measured_afresh(
    context: EvaluationContext, candidate: Artifact
) -> None:
    evaluator, counting = start(context, "accuracy")
    metrics = metrics_of("accuracy")
    for _ in range(2):
        evaluator.measure(candidate, metrics, "search", part(1 / 2))
        counting.samples.clear()
        whole = evaluator.measure(candidate, metrics, "search")
        assert sum(counting.samples) == 640
        assert whole["accuracy"].samples == {"count": 640}


def test_nan_in_a_later_part_is_infeasible(tmp_path: Path) -> None:
    x = np.ones((640, 8), np.float32)
    # What fp32 gets wrong runs first; the NaN come later.
    x[::5] = -1
    reference = artifact(models.mlp(tmp_path / "finite.onnx"))
    (outputs,) = run_batches(reference.path, from_arrays({"x": x}, batch_size=640), 1)
    labels = outputs["logits"].argmax(axis=1)
    labels[1:300:5] = (labels[1:300:5] + 1) % 4
    batches = from_arrays({"x": x}, labels, batch_size=64)
    context = EvaluationContext(reference, Splits(batches, batches, batches))
    broken = artifact(models.nan_model(tmp_path / "nan.onnx"))
    evaluator, _ = start(context)
    metrics = metrics_of("accuracy")
    for _ in range(4):
        evaluator.measure(reference, metrics, "search")
    evaluator.measure(broken, metrics, "search", part(1 / 16))
    with pytest.raises(Infeasible, match=r"'logits' holds NaN for \d+ of 320 samples"):
        evaluator.measure(broken, metrics, "search", part(1 / 2))


@pytest.mark.parametrize("batch", [16, 64])
def test_a_model_of_a_fixed_batch_size_keeps_it(tmp_path: Path, batch: int) -> None:
    reference = artifact(models.mlp(tmp_path / "fixed.onnx", batch=batch))
    x = np.random.default_rng(0).standard_normal((640, 8)).astype(np.float32)
    batches = from_arrays({"x": x}, np.arange(640) % 4, batch_size=batch)
    context = EvaluationContext(reference, Splits(batches, batches, batches))
    evaluator, counting = start(context, "accuracy")
    evaluator.measure(reference, metrics_of("accuracy"), "search", part(1 / 16))
    found = evaluator.measure(reference, metrics_of("accuracy"), "search", part(1 / 4))["accuracy"]
    assert set(counting.samples) == {batch}
    assert found.samples["count"] == (192 if batch == 64 else 160)


def test_ragged_batches_run_whole(tmp_path: Path) -> None:
    reference = artifact(models.two_inputs(tmp_path / "two.onnx"))
    changed = artifact(models.perturbed(reference.path, tmp_path / "changed.onnx", scale=1.0))
    rng = np.random.default_rng(0)
    batches = [
        Batch(
            {"ids": rng.integers(0, 20, (4, width)), "mask": np.ones((4, width), np.float32)},
            rng.integers(0, 8, (4, width)),
        )
        for width in rng.integers(2, 9, 64)
    ]
    context = EvaluationContext(reference, Splits(batches, batches, batches))
    metrics = metrics_of("accuracy", "agreement", "divergence")
    evaluator, counting = start(context, "accuracy agreement divergence", output="tokens")
    found = [evaluator.measure(changed, metrics, "search", part(share)) for share in SHARES]
    assert sum(counting.samples) == 256
    whole = evaluator.measure(changed, metrics, "search")
    for name, last in found[-1].items():
        assert replace(last, samples={"count": 256}) == whole[name]
        best = found[-2][name].best
        assert best is not None
        assert best <= last.value if name == "divergence" else best >= last.value


def test_metrics_say_that_they_are_sampled() -> None:
    assert all(metric.sampled for metric in metrics_of())


def test_no_output_of_a_run_is_lost_with_many_threads(
    context: EvaluationContext, candidate: Artifact
) -> None:
    metrics = metrics_of("accuracy", "divergence")
    results = []
    for threads in (1, 3):
        options = AccuracyOptions(threads=threads)
        evaluator = AccuracyPlugin.create(options, context)
        teach(evaluator, context, metrics)
        found = [evaluator.measure(candidate, metrics, "search", part(s)) for s in SHARES]
        results.append(found)
        evaluator.close()
    assert results[0] == results[1]
