"""Explaining a study from its trials alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from paretune.evaluators import Metric
from paretune.search.explaining.bases import bases
from paretune.search.explaining.contrasts import Contrasts, Option, Pair
from paretune.search.explaining.decisions import Design, design
from paretune.search.explaining.effect import Effect
from paretune.search.explaining.explanation import ChoiceEffect, Doubt, Explanation, Interaction
from paretune.search.explaining.predictions import predictions
from paretune.search.explaining.verdict import verdict
from paretune.search.guided.structure import Structure
from paretune.search.guided.surrogate import Surrogate
from paretune.search.info import StudyInfo
from paretune.search.trial import Trial, TrialStatus

FEWEST = 20
"""Trials from which something may be told."""

MOST = 1000
"""Trials that are learned from: more take minutes and tell the same."""


def explain(info: StudyInfo, trials: Sequence[Trial]) -> Explanation:
    """What a study's trials say of its layers.

    Figures are those that the search saw, all taken in the same way. An effect is that of changing
    one decision of a policy and leaving all else, averaged over policies like those of the front.
    It comes from the surrogate that the guided sampler uses, and so does its uncertainty, widened
    where trials that were left out show that it is too small.

    Args:
        info, trials: of the study, or of its `view` from one device.
    """
    measured = [trial for trial in trials if trial.status is TrialStatus.COMPLETE]
    empty = Explanation(info.name, len(trials), len(measured))
    if len(measured) < FEWEST:
        why = f"too few trials to tell: {len(measured)} measured, at least {FEWEST} are needed"
        return replace(empty, untold=why)
    chosen, averaged = bases(info, measured)
    # What effects are averaged over is always among them.
    some = np.linspace(0, len(measured) - 1, min(len(measured), MOST)).astype(int)
    kept = {trial.number for trial in (*(measured[i] for i in some), *chosen)}
    learned = [trial for trial in measured if trial.number in kept]
    found = design([trial.policy for trial in learned])
    if not found.decisions:
        return replace(empty, untold="nothing to tell: all trials have the same policy")
    structure = Structure.of({d.name: d.options for d in found.decisions})
    row = {trial.number: index for index, trial in enumerate(learned)}
    contrasts = Contrasts(found, structure, found.x[[row[trial.number] for trial in chosen]])

    doubts: list[Doubt] = []
    singles: dict[str, Mapping[Option, Effect]] = {}
    pairs: dict[str, Mapping[Pair, Effect]] = {}
    for metric in info.objectives:
        sign = 1.0 if metric.direction == "minimize" else -1.0
        costs = sign * np.array([trial.measurements[metric.name].value for trial in learned])
        surrogate = Surrogate.fit(structure, found.x, costs)
        predicted = predictions(structure, found.x, costs, surrogate, sign)
        doubt = Doubt(metric, _of_answers(metric, learned[0]), predicted)
        doubts.append(doubt)
        if doubt.told:
            singles[metric.name] = contrasts.singles(surrogate, sign, predicted.widening)
            pairs[metric.name] = contrasts.interactions(surrogate, sign, predicted.widening)
    spans = {
        metric.name: float(np.ptp([trial.measurements[metric.name].value for trial in chosen]))
        for metric in info.objectives
    }
    choices = {o: _choice(found, o, singles, spans) for o in contrasts.options}
    return replace(
        empty,
        trials=learned,
        bases=chosen,
        averaged=averaged,
        fixed=found.fixed,
        doubts=tuple(doubts),
        choices=tuple(choices.values()),
        interactions=tuple(
            Interaction(choices[a], choices[b], name, effect)
            for name, those in pairs.items()
            for (a, b), effect in sorted(those.items(), key=lambda one: -abs(one[1].value))
            if effect.real
        ),
        pairs=len(contrasts.pairs),
    )


def _choice(
    found: Design,
    option: Option,
    singles: Mapping[str, Mapping[Option, Effect]],
    spans: Mapping[str, float],
) -> ChoiceEffect:
    knob, index = option
    decision = found.decisions[knob]
    effects = {name: those[option] for name, those in singles.items()}
    return ChoiceEffect(
        decision,
        decision.options[index],
        int((found.x[:, knob] == index).sum()),
        effects,
        verdict(effects, spans),
    )


def _of_answers(metric: Metric, trial: Trial) -> bool:
    """Whether it tells how good the model's answers are, not of its file or of a device."""
    if metric.per_device or metric.device:
        return False
    return metric.direction == "maximize" or "split" in trial.measurements[metric.name].conditions
