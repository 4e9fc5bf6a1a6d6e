"""Metrics that a user's own function computes."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from paretune.errors import CandidateError, UserError
from paretune.evaluators import Artifact, EvaluationContext, Measurement, run_batches
from paretune.evaluators.accuracy import AccuracyOptions, AccuracyPlugin

Outputs = Mapping[str, np.ndarray]


def loss(outputs: Outputs, targets: np.ndarray) -> np.ndarray:
    """Cross-entropy of every sample."""
    logits = outputs["logits"].astype(np.float64)
    shifted = logits - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    losses: np.ndarray = -log_p[np.arange(len(targets)), targets]
    return losses


def correct(outputs: Outputs, targets: np.ndarray) -> np.ndarray:
    hits: np.ndarray = outputs["logits"].argmax(1) == targets
    return hits


def own(
    context: EvaluationContext, measured: Artifact, function: Any, direction: str = "maximize"
) -> Mapping[str, Measurement]:
    functions = {"own": {"function": function, "direction": direction, "unit": "u"}}
    options = AccuracyOptions.model_validate({"functions": functions})
    metrics = AccuracyPlugin.metrics(options)
    evaluator = AccuracyPlugin.create(options, context)
    return evaluator.measure(measured, metrics, "search")


def test_a_function_by_its_spelling(context: EvaluationContext, candidate: Artifact) -> None:
    measured = own(context, candidate, "tests.evaluators.test_user_metrics:loss", "minimize")

    def losses(model: Artifact) -> np.ndarray:
        pairs = zip(
            run_batches(model.path, context.splits.search), context.splits.search, strict=True
        )
        return np.concatenate([loss(o, b.targets) for o, b in pairs if b.targets is not None])

    ours, theirs = losses(candidate), losses(context.reference)
    assert ours.mean() > theirs.mean()
    assert measured["own"].value == pytest.approx(ours.mean())
    drop = measured["own_drop"]
    # Less is better, so more of it is a loss.
    assert drop.value == pytest.approx((ours - theirs).mean())
    assert drop.low is not None
    assert drop.high is not None
    assert drop.low < drop.value < drop.high


def test_a_function_of_hits_equals_the_built_in_accuracy(
    context: EvaluationContext, candidate: Artifact
) -> None:
    measured = own(context, candidate, correct)
    assert measured["own"] == measured["accuracy"]
    assert measured["own_drop"] == measured["accuracy_drop"]


def test_the_metrics_carry_direction_and_unit() -> None:
    functions = {"nll": {"function": loss, "direction": "minimize", "unit": "nats"}}
    options = AccuracyOptions.model_validate({"functions": functions})
    nll, drop = AccuracyPlugin.metrics(options)[-2:]
    assert (nll.name, nll.unit, nll.direction) == ("nll", "nats", "minimize")
    assert (drop.name, drop.unit, drop.direction) == ("nll_drop", "nats", "minimize")
    spelled = options.model_dump(mode="json")["functions"]["nll"]["function"]
    assert spelled == "tests.evaluators.test_user_metrics:loss"
    assert AccuracyOptions.model_validate(options.model_dump()).functions["nll"].function == spelled


def raises(outputs: Outputs, targets: np.ndarray) -> np.ndarray:
    raise IndexError("no such class")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (raises, "metric 'own': .*:raises raised IndexError: no such class"),
        (lambda o, t: 0.5, r"one score per sample, but got shape \(\)"),
        (lambda o, t: o["logits"], r"shape \(64,\), .* but got shape \(64, 4\)"),
        (lambda o, t: np.zeros(3), r"but got shape \(3,\)"),
        (lambda o, t: ["good"] * len(t), "but got dtype <U4"),
        (lambda o, t: [[1], [1, 2]], "must return numbers of shape"),
        (lambda o, t: np.full(len(t), np.nan), "NaN or infinite scores for 64 of 64 samples"),
        (lambda o, t: None, "must return numbers .* but got dtype object"),
    ],
)
def test_a_wrong_function_is_the_users(
    context: EvaluationContext, function: Callable[..., Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        own(context, context.reference, function)


def test_a_function_that_is_not_found(context: EvaluationContext) -> None:
    with pytest.raises(UserError, match=r"'accuracy': functions.own: no module 'not_there'"):
        own(context, context.reference, "not_there:loss")


@pytest.mark.parametrize("name", ["accuracy", "agreement", "accuracy_drop"])
def test_a_name_that_is_taken(name: str) -> None:
    functions = {name: {"function": "a:b", "direction": "minimize"}}
    with pytest.raises(ValidationError, match=f"the name '{name}' is taken"):
        AccuracyOptions.model_validate({"functions": functions})


def test_two_functions_with_clashing_drops() -> None:
    one = {"function": "a:b", "direction": "minimize"}
    with pytest.raises(ValidationError, match="the name 'f_drop' is taken"):
        AccuracyOptions.model_validate({"functions": {"f": one, "f_drop": one}})


def test_a_candidate_that_breaks_the_function_fails_alone(
    context: EvaluationContext, candidate: Artifact
) -> None:
    batches = (*context.splits.search, *context.splits.test)
    answers = run_batches(context.reference.path, batches)
    known = {outputs["logits"].tobytes() for outputs in answers}

    def picky(outputs: Outputs, targets: np.ndarray) -> np.ndarray:
        return np.full(len(targets), 1.0 if outputs["logits"].tobytes() in known else np.nan)

    functions = {"own": {"function": picky, "direction": "maximize"}}
    options = AccuracyOptions.model_validate({"functions": functions})
    evaluator = AccuracyPlugin.create(options, context)
    metric = AccuracyPlugin.metrics(options)[-2]
    with pytest.raises(CandidateError, match="NaN or infinite scores for 64 of 64"):
        evaluator.measure(candidate, [metric], "search")
    assert evaluator.measure(context.reference, [metric], "search")["own"].value == 1
