"""Measures answers: one inference pass per artifact, whatever the number of metrics."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np

from paretune.errors import Infeasible, InferenceError, UserError
from paretune.evaluators.accuracy.scores import (
    are_probabilities,
    check_targets,
    class_scores,
    kl_divergence,
    log_probabilities,
    matches,
    top_class,
)
from paretune.evaluators.accuracy.user import UserMetric
from paretune.evaluators.artifact import Artifact
from paretune.evaluators.data import Array, Batch
from paretune.evaluators.evaluator import EvaluationContext, SplitName
from paretune.evaluators.inference import FiniteCheck, run_batches
from paretune.evaluators.intervals import Interval, Scores, difference_interval, mean_interval
from paretune.evaluators.measurement import Measurement
from paretune.evaluators.metric import Metric
from paretune.evaluators.runtimes.runtime import Runtime


class _Batches:
    """Per-sample scores by name, gathered batch by batch."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Scores]] = {}

    def add(self, name: str, scores: Scores) -> None:
        self._parts.setdefault(name, []).append(scores)

    def __getitem__(self, name: str) -> Scores:
        return np.concatenate(self._parts[name])


@dataclass
class _Reference:
    """What is kept of the fp32 model's answers on one split.

    Attributes:
        shapes: per batch the shape of the class scores, where an asked metric needs them.
        classes: per batch the top classes, likewise.
        log_probabilities: per batch, float32 of the outputs' shape, only for the divergence.
        probabilities: whether the model ends in a softmax.
        scores: of the asked kinds.
    """

    shapes: list[tuple[int, ...]] = field(default_factory=list)
    classes: list[Array] = field(default_factory=list)
    log_probabilities: list[Array] = field(default_factory=list)
    probabilities: bool = False
    scores: _Batches = field(default_factory=_Batches)


class AccuracyEvaluator:
    """Compares an artifact's outputs with the targets and with the fp32 model's outputs.

    Args:
        context: the reference model and the data.
        output: name of the output that holds the class scores.
        functions: the user's metrics by name.
        threads: batches that run at the same time.
        runtime: runs them, with one thread each.
        options: that the runtime was given.
    """

    def __init__(
        self,
        context: EvaluationContext,
        output: str,
        functions: Mapping[str, UserMetric],
        threads: int,
        runtime: Runtime,
        options: Mapping[str, Any],
    ) -> None:
        self._context = context
        self._output = output
        self._functions = functions
        self._threads = threads
        self._runtime = runtime
        self._options = options
        self._references: dict[tuple[SplitName, frozenset[str]], _Reference] = {}

    def measure(
        self, artifact: Artifact, metrics: Sequence[Metric], split: SplitName
    ) -> dict[str, Measurement]:
        """Measure on all of `split`.

        Raises:
            UserError: the fp32 model, the targets of either split or a user's function do not fit;
                on the first call only.
            Infeasible: the artifact's outputs hold NaN or infinite values, or have another shape.
            InferenceError: the runtime cannot load or run it.
        """
        asked = frozenset(self._kind(metric.name) for metric in metrics)
        if (split, asked) not in self._references:
            # Both splits at once: bad `test` data must not come to light after a night of search.
            for each in get_args(SplitName):
                self._references[each, asked] = self._run_reference(each, asked)
        reference = self._references[split, asked]
        scores = self._run_candidate(artifact, split, asked, reference)
        return {
            metric.name: self._measurement(metric.name, reference.scores, scores, split)
            for metric in metrics
        }

    def close(self) -> None:
        """Forget the reference's answers."""
        self._references.clear()

    def _kind(self, metric: str) -> str:
        """The kind of per-sample scores that a metric is made of."""
        return metric if metric in self._functions else metric.removesuffix("_drop")

    def _run_reference(self, split: SplitName, asked: frozenset[str]) -> _Reference:
        kept = _Reference()
        # Once it failed, only the number of bad samples is of interest.
        check = FiniteCheck()
        try:
            for i, (batch, outputs) in enumerate(self._run(self._context.reference, split)):
                check.update(outputs, batch.size)
                if check.failed:
                    continue
                self._keep(kept, batch, outputs, split, asked, first=i == 0)
            check.finish()
        except (Infeasible, InferenceError) as error:
            raise UserError(f"the model itself, on the split '{split}': {error}") from error
        return kept

    def _keep(
        self,
        kept: _Reference,
        batch: Batch,
        outputs: Mapping[str, Array],
        split: SplitName,
        asked: frozenset[str],
        *,
        first: bool,
    ) -> None:
        if asked - self._functions.keys():
            scores = class_scores(outputs, self._output, batch.size)
            classes = top_class(scores)
            kept.shapes.append(scores.shape)
            kept.classes.append(classes)
            if "accuracy" in asked:
                targets = check_targets(batch.targets, scores, split)
                kept.scores.add("accuracy", matches(classes, targets))
            if "divergence" in asked:
                if first:
                    kept.probabilities = are_probabilities(scores)
                kept.log_probabilities.append(
                    log_probabilities(scores, probabilities=kept.probabilities)
                )
        for name in asked & self._functions.keys():
            own = self._functions[name].trial_run(outputs, batch.targets, batch.size)
            kept.scores.add(name, own)

    def _run_candidate(
        self, artifact: Artifact, split: SplitName, asked: frozenset[str], reference: _Reference
    ) -> _Batches:
        scores = _Batches()
        check = FiniteCheck()
        for i, (batch, outputs) in enumerate(self._run(artifact, split)):
            check.update(outputs, batch.size)
            if check.failed:
                continue
            if asked - self._functions.keys():
                self._compare(scores, batch, outputs[self._output], asked, reference, i)
            for name in asked & self._functions.keys():
                own = self._functions[name].scores(outputs, batch.targets, batch.size)
                scores.add(name, own)
        check.finish()
        return scores

    def _compare(
        self,
        scores: _Batches,
        batch: Batch,
        output: Array,
        asked: frozenset[str],
        reference: _Reference,
        index: int,
    ) -> None:
        shape, expected = output.shape, reference.shapes[index]
        if shape != expected:
            raise Infeasible(
                f"output '{self._output}' has shape {shape}, but the fp32 model's has {expected}"
            )
        classes = top_class(output)
        if "accuracy" in asked and batch.targets is not None:
            scores.add("accuracy", matches(classes, batch.targets))
        if "agreement" in asked:
            scores.add("agreement", matches(classes, reference.classes[index]))
        if "divergence" in asked:
            log_p = log_probabilities(output, probabilities=reference.probabilities)
            divergence = kl_divergence(reference.log_probabilities[index], log_p)
            scores.add("divergence", divergence)

    def _run(
        self, artifact: Artifact, split: SplitName
    ) -> Iterator[tuple[Batch, dict[str, Array]]]:
        batches = self._batches(split)
        outputs = run_batches(artifact.path, batches, self._threads, self._runtime)
        return zip(batches, outputs, strict=True)

    def _batches(self, split: SplitName) -> Sequence[Batch]:
        splits = self._context.splits
        return splits.search if split == "search" else splits.test

    def _measurement(
        self, metric: str, reference: _Batches, candidate: _Batches, split: SplitName
    ) -> Measurement:
        name = self._kind(metric)
        scores = candidate[name]
        interval: Interval | None
        if metric == name:
            value = float(scores.mean())
            interval = mean_interval(scores, shares=metric != "divergence")
        else:
            own = self._functions.get(name)
            first, second = reference[name], scores
            if own is not None:
                first, second = own.loss(first, second)
            value = float((first - second).mean())
            interval = difference_interval(first, second)
        low, high = interval or (None, None)
        conditions: dict[str, Any] = {
            "split": split,
            "runtime": self._runtime.name,
            "runtime_version": self._runtime.version,
        }
        # Studies of earlier versions, which could give none, stay comparable.
        if self._options:
            conditions["options"] = dict(self._options)
        return Measurement(value, low, high, {"count": len(scores)}, conditions)
