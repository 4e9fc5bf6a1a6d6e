"""Scoring answers: the fp32 model's against the targets, a candidate's against both."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from paretune.errors import Infeasible
from paretune.evaluators.accuracy.gathered import Gathered
from paretune.evaluators.accuracy.order import Order
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
from paretune.evaluators.data import Array, Batch
from paretune.evaluators.evaluator import SplitName


@dataclass(frozen=True)
class Asked:
    """Which kinds of scores are wanted.

    Attributes:
        built_in: names of those that compare classes or their scores.
        own: the user's.
        output: the model's, that holds the class scores.
    """

    built_in: frozenset[str]
    own: Mapping[str, UserMetric]
    output: str


@dataclass
class Reference:
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
    scores: Gathered = field(default_factory=Gathered)

    @property
    def alike(self) -> bool:
        """Whether all samples have class scores of one shape."""
        return len({shape[1:] for shape in self.shapes}) <= 1

    def keep(
        self, asked: Asked, batch: Batch, outputs: Mapping[str, Array], split: SplitName
    ) -> None:
        """Take in the answers to one more batch.

        Raises:
            UserError: the outputs, the targets or a user's function do not fit.
        """
        if asked.built_in:
            scores = class_scores(outputs, asked.output, batch.size)
            if "divergence" in asked.built_in:
                if not self.shapes:
                    self.probabilities = are_probabilities(scores)
                log_p = log_probabilities(scores, probabilities=self.probabilities)
                self.log_probabilities.append(log_p)
            classes = top_class(scores)
            self.shapes.append(scores.shape)
            self.classes.append(classes)
            if "accuracy" in asked.built_in:
                targets = check_targets(batch.targets, scores, split)
                self.scores.add("accuracy", matches(classes, targets))
        for name, own in asked.own.items():
            self.scores.add(name, own.trial_run(outputs, batch.targets, batch.size))


def score(
    scores: Gathered,
    asked: Asked,
    batch: Batch,
    outputs: Mapping[str, Array],
    reference: Reference,
    order: Order,
    run: int,
) -> None:
    """Add the scores of a candidate's answers to one run of an order.

    Raises:
        Infeasible: an output has another shape than the fp32 model's.
        CandidateError: a user's function returned something else than scores.
    """
    if asked.built_in:
        output = outputs[asked.output]
        classes = order.take(reference.classes, run)
        expected = (*classes.shape, reference.shapes[order.given(run)][-1])
        if output.shape != expected:
            raise Infeasible(
                f"output '{asked.output}' has shape {output.shape}, but the fp32 model's has"
                f" {expected}"
            )
        found = top_class(output)
        if "accuracy" in asked.built_in and batch.targets is not None:
            scores.add("accuracy", matches(found, batch.targets))
        if "agreement" in asked.built_in:
            scores.add("agreement", matches(found, classes))
        if "divergence" in asked.built_in:
            log_p = log_probabilities(output, probabilities=reference.probabilities)
            before = order.take(reference.log_probabilities, run)
            scores.add("divergence", kl_divergence(before, log_p))
    for name, own in asked.own.items():
        scores.add(name, own.scores(outputs, batch.targets, batch.size))
