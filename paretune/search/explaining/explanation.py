"""What a search learned: effects of choices, interactions, and how far to trust them."""

from collections.abc import Sequence
from dataclasses import dataclass

from paretune.evaluators import Metric
from paretune.search.explaining.decisions import Decision
from paretune.search.explaining.effect import Effect
from paretune.search.explaining.predictions import Predictions
from paretune.search.explaining.verdict import Verdict
from paretune.search.trial import Trial


@dataclass(frozen=True)
class ChoiceEffect:
    """What one choice changes, against leaving its layers alone.

    Attributes:
        decision: that it is an option of.
        option: spelled as in a policy.
        trials: measured trials that have it.
        effects: metric name to the change, of the objectives that could be told.
        verdict: on all of them.
    """

    decision: Decision
    option: str
    trials: int
    effects: dict[str, Effect]
    verdict: Verdict


@dataclass(frozen=True)
class Interaction:
    """What two choices together change beyond the sum of what each changes alone.

    Attributes:
        first, second: choices of neighbouring decisions.
        metric: name of the objective.
        effect: f(both) - f(first) - f(second) + f(neither).
    """

    first: ChoiceEffect
    second: ChoiceEffect
    metric: str
    effect: Effect


@dataclass(frozen=True)
class Doubt:
    """How well one objective is predicted from policies.

    Attributes:
        metric: the objective.
        quality: whether it tells of the model's answers.
        predictions: of each trial from others, in the order of `Explanation.trials`.
    """

    metric: Metric
    quality: bool
    predictions: Predictions

    @property
    def told(self) -> bool:
        """Whether the predictions beat the mean, so that there is something to tell."""
        return self.predictions.r2 > 0


@dataclass(frozen=True)
class Explanation:
    """What was learned from a study's trials.

    Attributes:
        name: of the study.
        total: trials of any status.
        measured: complete trials.
        untold: why nothing can be told; the rest is empty then.
        trials: that were learned from; all that were measured, or an even share of very many.
        bases: the policies that effects are averaged over.
        averaged: what these are, in words.
        fixed: layers that all trials treat alike.
        doubts: of each objective.
        choices: in the order of the network.
        interactions: beyond noise, the largest of each objective first.
        pairs: how many pairs of choices were looked at.
    """

    name: str
    total: int
    measured: int
    untold: str = ""
    trials: Sequence[Trial] = ()
    bases: Sequence[Trial] = ()
    averaged: str = ""
    fixed: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    choices: tuple[ChoiceEffect, ...] = ()
    interactions: tuple[Interaction, ...] = ()
    pairs: int = 0

    @property
    def objectives(self) -> list[Metric]:
        """Those that could be told."""
        return [doubt.metric for doubt in self.doubts if doubt.told]

    def of(self, verdict: Verdict) -> list[ChoiceEffect]:
        """The choices with that verdict, in the order of the network."""
        return [choice for choice in self.choices if choice.verdict is verdict]

    def protect(self, quality: Metric) -> list[ChoiceEffect]:
        """Of each layer the choice that really loses most of `quality`, the worst first."""
        worst: dict[str, ChoiceEffect] = {}
        for choice in self.choices:
            effect = choice.effects.get(quality.name)
            if effect is None or not effect.worse:
                continue
            name = choice.decision.layers[0]
            if name not in worst or effect.gain < worst[name].effects[quality.name].gain:
                worst[name] = choice
        return sorted(worst.values(), key=lambda one: one.effects[quality.name].gain)
