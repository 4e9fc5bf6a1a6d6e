"""Measures answers: one inference pass per artifact, whatever the number of metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import tee
from typing import Any, get_args

import numpy as np

from paretune.errors import Infeasible, InferenceError, UserError
from paretune.evaluators.accuracy.answers import Asked, Reference, score
from paretune.evaluators.accuracy.experience import Experience
from paretune.evaluators.accuracy.gathered import Gathered
from paretune.evaluators.accuracy.order import Order, alike, as_given, heaviest_first
from paretune.evaluators.accuracy.reading import Kinds, Reading, kind
from paretune.evaluators.accuracy.user import UserMetric
from paretune.evaluators.artifact import Artifact
from paretune.evaluators.data import Batch
from paretune.evaluators.evaluator import EvaluationContext, SplitName
from paretune.evaluators.inference import FiniteCheck, run_batches, run_model
from paretune.evaluators.measurement import Measurement
from paretune.evaluators.metric import Metric
from paretune.evaluators.part import Part
from paretune.evaluators.runtimes.runtime import Model, Runtime
from paretune.evaluators.signature import model_inputs

_Key = tuple[SplitName, frozenset[str]]

_LEAST_EXPERIENCE = 4
"""So many candidates are measured whole before a part is expected to tell of the rest."""


@dataclass
class _Known:
    """What is known of a split before a candidate runs.

    Attributes:
        reference: the fp32 model's answers.
        kinds: of scores.
        experience: by kind.
    """

    reference: Reference
    kinds: Kinds
    experience: Mapping[str, Experience]


@dataclass
class _Progress:
    """How far an artifact is in an order.

    Attributes:
        model: the artifact, loaded.
        scores: of the runs that are done.
        check: likewise.
        done: how many.
    """

    artifact: Artifact
    key: _Key
    order: Order
    model: Model
    scores: Gathered = field(default_factory=Gathered)
    check: FiniteCheck = field(default_factory=FiniteCheck)
    done: int = 0


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
        self._known: dict[_Key, _Known] = {}
        self._progress: _Progress | None = None

    def measure(
        self,
        artifact: Artifact,
        metrics: Sequence[Metric],
        split: SplitName,
        part: Part | None = None,
    ) -> dict[str, Measurement]:
        """Measure on all of `split`, or on a part.

        Whole splits run in the user's batches. Parts begin with the samples that are likely to tell
        most, and go on where the last part of the same artifact ended.

        Raises:
            UserError: the fp32 model, the targets of either split or a user's function do not fit;
                on the first call only.
            Infeasible: the artifact's outputs hold NaN or infinite values, or have another shape.
            InferenceError: the runtime cannot load or run it.
        """
        asked = self._asked(metrics)
        key = (split, asked.built_in.union(asked.own))
        if key not in self._known:
            # Both splits at once: bad `test` data must not come to light after a night of search.
            for each in get_args(SplitName):
                self._known[each, key[1]] = self._learned(each, asked)
        known = self._known[key]
        progress = self._begun(artifact, key, part)
        enough = all(e.candidates >= _LEAST_EXPERIENCE for e in known.experience.values())
        share = part.share if part is not None and enough else 1.0
        self._advance(progress, asked, known.reference, progress.order.until(share))
        experience = None if part is None else known.experience
        rows = progress.order.rows(progress.done)
        reading = Reading(known.kinds, progress.scores, rows, experience)
        conditions: dict[str, Any] = {
            "split": split,
            "runtime": self._runtime.name,
            "runtime_version": self._runtime.version,
        }
        # Studies of earlier versions, which could give none, stay comparable.
        if self._options:
            conditions["options"] = dict(self._options)
        found = {metric.name: reading.measurement(metric, conditions) for metric in metrics}
        if progress.done == len(progress.order.runs):
            self._leave(progress)
        else:
            self._progress = progress
        return found

    def close(self) -> None:
        """Forget the reference's answers, and the artifact."""
        self._known.clear()
        self._progress = None

    def _asked(self, metrics: Sequence[Metric]) -> Asked:
        kinds = frozenset(kind(metric.name, self._functions) for metric in metrics)
        own = {name: function for name, function in self._functions.items() if name in kinds}
        return Asked(kinds.difference(own), own, self._output)

    def _learned(self, split: SplitName, asked: Asked) -> _Known:
        reference = self._run_reference(split, asked)
        total = sum(batch.size for batch in self._batches(split))
        kinds = Kinds(reference.scores, self._functions, total)
        names = asked.built_in.union(asked.own)
        return _Known(reference, kinds, {n: Experience(total, kinds.limit(n)) for n in names})

    def _run_reference(self, split: SplitName, asked: Asked) -> Reference:
        kept = Reference()
        batches = self._batches(split)
        # Once it failed, only the number of bad samples is of interest.
        check = FiniteCheck()
        try:
            path = self._context.reference.path
            answers = run_batches(path, batches, self._threads, self._runtime)
            for batch, outputs in zip(batches, answers, strict=True):
                check.update(outputs, batch.size)
                if not check.failed:
                    kept.keep(asked, batch, outputs, split)
            check.finish()
        except (Infeasible, InferenceError) as error:
            raise UserError(f"the model itself, on the split '{split}': {error}") from error
        return kept

    def _begun(self, artifact: Artifact, key: _Key, part: Part | None) -> _Progress:
        """Where measuring goes on; from the start for a whole split, or for another artifact."""
        kept, self._progress = self._progress, None
        if part is not None and kept is not None and (kept.artifact, kept.key) == (artifact, key):
            return kept
        if kept is not None:
            self._leave(kept)
        # Two models need not be in memory at once.
        del kept
        order = as_given(self._batches(key[0])) if part is None else self._telling_first(key)
        return _Progress(artifact, key, order, self._runtime.load(artifact.path, self._threads))

    def _leave(self, progress: _Progress) -> None:
        """Learn from an artifact that is done with."""
        known = self._known[progress.key]
        rows = progress.order.rows(progress.done)
        for name, experience in known.experience.items():
            experience.add(rows, known.kinds.gains(name, rows, progress.scores[name]))

    def _advance(self, progress: _Progress, asked: Asked, reference: Reference, until: int) -> None:
        order = progress.order
        runs = range(progress.done, max(progress.done, until))
        given, fed = tee(order.batch(run) for run in runs)
        answers = run_model(progress.model, fed, self._threads)
        for run, batch, outputs in zip(runs, given, answers, strict=True):
            progress.check.update(outputs, batch.size)
            if not progress.check.failed:
                score(progress.scores, asked, batch, outputs, reference, order, run)
        progress.check.finish()
        progress.done = runs.stop

    def _telling_first(self, key: _Key) -> Order:
        """The order in which the least samples may tell that a candidate is out of the race."""
        known, batches = self._known[key], self._batches(key[0])
        shapes = [given.shape for given in model_inputs(self._context.reference.path)]
        return heaviest_first(
            batches,
            np.sum([experience.weight() for experience in known.experience.values()], axis=0),
            mixed=alike(batches) and known.reference.alike,
            any_size=not any(shape and shape[0] is not None for shape in shapes),
        )

    def _batches(self, split: SplitName) -> Sequence[Batch]:
        splits = self._context.splits
        return splits.search if split == "search" else splits.test
