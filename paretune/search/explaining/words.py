"""What was learned, in sentences; the terminal and the page say the same."""

from collections import Counter
from collections.abc import Sequence

from paretune.evaluators import Metric
from paretune.search import text
from paretune.search.explaining import naming
from paretune.search.explaining.effect import FALSE_DISCOVERIES
from paretune.search.explaining.explanation import Doubt, Explanation, Interaction
from paretune.search.explaining.verdict import LITTLE, Verdict

SHOWN = 8
"""Sentences of one sort."""


def headline(found: Explanation) -> str:
    """From what all this was learned, and what effects are averaged over."""
    trials = f"{found.measured} measured trials"
    if len(found.trials) < found.measured:
        trials = f"{len(found.trials)} of {trials}, evenly taken"
    return (
        f"Learned from {trials}. An effect is what changes when one choice is made and all else"
        f" stays as it is, averaged over {found.averaged}; ± is a 95% interval."
        f" Effects in bold are beyond noise (at most one in {1 / FALSE_DISCOVERIES:.0f} of them is"
        " expected to be chance)."
    )


def notes(found: Explanation) -> list[str]:
    """What the tables leave out."""
    lines = []
    if found.fixed:
        listed = _listed(found.fixed)
        lines.append(f"All trials treat these layers alike, so nothing is known of them: {listed}.")
    for decision in dict.fromkeys(c.decision for c in found.choices):
        if len(decision.layers) > 2:
            lines.append(
                f"{naming.layers(decision)}, changed together: {', '.join(decision.layers)}."
            )
    return lines


def protect(found: Explanation) -> list[str]:
    """One sentence a layer that loses quality, the largest loss first."""
    lines = []
    for doubt in found.doubts:
        if not (doubt.quality and doubt.told):
            continue
        metric, hurt = doubt.metric, found.protect(doubt.metric)
        shown = naming.scale(metric, hurt)
        lines += [
            f"{naming.choice(c)}{naming.compared(c.decision)}: {text.label(metric, shown.unit)}"
            f" {naming.amount(c.effects[metric.name], shown)}"
            for c in hurt[:SHOWN]
        ]
        if len(hurt) > SHOWN:
            lines.append(f"... and {len(hurt) - SHOWN} more that lose {text.label(metric)}")
    if lines:
        return lines
    if not any(doubt.quality and doubt.told for doubt in found.doubts):
        return ["No objective tells of the answers' quality, or none of them can be predicted."]
    return ["No choice loses quality beyond noise."]


def verdicts(found: Explanation, verdict: Verdict) -> list[str]:
    """The choices with a verdict, one line for each sort of choice."""
    sorts: dict[str, list[str]] = {}
    for chosen in found.of(verdict):
        sorts.setdefault(naming.done(chosen), []).append(naming.layers(chosen.decision))
    every = Counter(map(naming.done, found.choices))
    return [
        f"{sort}: all {len(names)} layers that could take it"
        if every[sort] == len(names) > 3
        else f"{sort}: {_listed(names)}"
        for sort, names in sorts.items()
    ] or ["none"]


def meaning(verdict: Verdict) -> str:
    """What a verdict says."""
    little = f"less than {100 * LITTLE:.0f}% of the front's range in every other objective"
    return {
        Verdict.FREE: f"gains beyond noise, and even at the bad end loses {little}",
        Verdict.WASTE: f"loses beyond noise, and even at the good end gains {little}",
        Verdict.TRADE: "gains something and loses something else, both beyond noise",
        Verdict.GAIN: "gains something beyond noise; what it costs cannot be told well enough yet",
        Verdict.LOSS: "loses something beyond noise; what it gains cannot be told well enough yet",
        Verdict.UNCLEAR: "nothing is beyond noise",
    }[verdict]


def interaction(pair: Interaction, metric: Metric, shown: text.Scale) -> str:
    """`latency (ms): conv2 in int8 is worth 0.08 ±0.02 more when conv3 is in int8 too`."""
    half = pair.effect.half / shown.divisor
    too = " too" if pair.second.option == pair.first.option else ""
    size = text.number(abs(pair.effect.value) / shown.divisor, half)
    return (
        f"{text.label(metric, shown.unit)}: {naming.choice(pair.first)} is worth {size}"
        f" ±{text.number(half, half)} {'more' if pair.effect.gain > 0 else 'less'}"
        f" when {naming.state(pair.second)}{too}"
    )


def interactions(found: Explanation) -> list[str]:
    """The largest of each objective, and how many there are."""
    lines = []
    for metric in found.objectives:
        those = [pair for pair in found.interactions if pair.metric == metric.name]
        shown = text.scale(metric, (pair.effect.value for pair in those))
        lines += [interaction(pair, metric, shown) for pair in those[:SHOWN]]
        if len(those) > SHOWN:
            lines.append(f"... and {len(those) - SHOWN} more in {text.label(metric)}")
    looked = f"{found.pairs} pairs of choices of the same layer or of neighbours"
    return lines or [f"None of {looked} is beyond noise."]


def trust(doubt: Doubt) -> str:
    """How well an objective is predicted."""
    found = doubt.predictions
    shown = text.scale(doubt.metric, found.measured)
    name = text.label(doubt.metric, shown.unit)
    if not doubt.told:
        return (
            f"{name}: cannot be predicted from the policies (R² {found.r2:.2f}, no better than the"
            " mean), so no effects are told"
        )
    error = found.error / shown.divisor
    return (
        f"{name}: R² {found.r2:.2f}, typical error {text.number(error, error)},"
        f" {100 * found.coverage:.0f}% of the 95% intervals hold what was measured"
        + (
            f"; the intervals of effects are made {found.widening:.2g} times as wide for it"
            if found.widening >= 1.05
            else ""
        )
    )


def prediction(doubt: Doubt, row: int, shown: text.Scale) -> tuple[str, str]:
    """What was measured of a trial, and the interval that the others predict: `0.71 to 0.83`."""
    found = doubt.predictions
    half = float(found.high[row] - found.low[row]) / 2 / shown.divisor

    def spelled(value: float) -> str:
        return text.number(value / shown.divisor, half)

    predicted = f"{spelled(found.low[row])} to {spelled(found.high[row])}"
    return spelled(found.measured[row]), predicted


def _listed(names: Sequence[str], most: int = 6) -> str:
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"
