"""Verdicts: what the effects of a choice on all objectives come to."""

from collections.abc import Mapping
from enum import StrEnum

from paretune.search.explaining.effect import Effect

LITTLE = 0.1
"""A loss or a gain of this share of the front's span is little."""


class Verdict(StrEnum):
    """What the effects of a choice come to."""

    FREE = "free"
    """It really gains something, and what it can lose elsewhere is little."""

    TRADE = "trade-off"
    """It really gains something and really loses something else."""

    WASTE = "not worth it"
    """It really loses something, and what it can gain elsewhere is little."""

    GAIN = "gain, cost unclear"
    """It really gains something; what it loses elsewhere cannot be told yet."""

    LOSS = "loss, gain unclear"
    """It really loses something; what it gains elsewhere cannot be told yet."""

    UNCLEAR = "unclear"
    """Nothing is beyond noise."""


def verdict(effects: Mapping[str, Effect], spans: Mapping[str, float]) -> Verdict:
    """What to think of a choice.

    Args:
        effects: metric name to the change; objectives that cannot be told are missing.
        spans: of all objectives, from the worst to the best policy that effects are averaged over.
    """
    better = any(effect.better for effect in effects.values())
    worse = any(effect.worse for effect in effects.values())
    if better and worse:
        return Verdict.TRADE
    if not (better or worse):
        return Verdict.UNCLEAR
    little = {name: LITTLE * span for name, span in spans.items()}
    if better:
        sure = all(name in effects and effects[name].worst_loss <= little[name] for name in spans)
        return Verdict.FREE if sure else Verdict.GAIN
    sure = all(name in effects and effects[name].best_gain <= little[name] for name in spans)
    return Verdict.WASTE if sure else Verdict.LOSS
