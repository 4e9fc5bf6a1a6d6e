"""How decisions, choices and their effects are named."""

from collections.abc import Sequence

from paretune.evaluators import Metric
from paretune.search import text
from paretune.search.explaining.decisions import BLOCK, CHANNELS, PRECISION, Decision
from paretune.search.explaining.effect import Effect
from paretune.search.explaining.explanation import ChoiceEffect


def layers(decision: Decision) -> str:
    """`conv1`, `conv1 and conv3`, `conv1 and 4 more`."""
    first, *others = decision.layers
    if len(others) < 2:
        return " and ".join(decision.layers)
    return f"{first} and {len(others)} more"


def option(kind: str, spelled: str) -> str:
    """An option without its layer: `int8`, `2:4`, `25% fewer channels`, `dropped`."""
    if kind == CHANNELS:
        return " or ".join(f"{100 * float(o):.3g}% fewer channels" for o in spelled.split(" or "))
    return "dropped" if kind == BLOCK else spelled


def choice(chosen: ChoiceEffect) -> str:
    """What is done to which layer: `conv2 in int8`, `conv2 with 25% fewer channels`."""
    decision = chosen.decision
    what = option(decision.kind, chosen.option)
    if decision.kind == BLOCK:
        return f"{layers(decision)} {what}"
    return f"{layers(decision)} {'in' if decision.kind == PRECISION else 'with'} {what}"


def compared(decision: Decision) -> str:
    """` instead of w8` where no trial left the layer alone; else nothing."""
    if decision.alone:
        return ""
    return f" instead of {option(decision.kind, decision.options[0])}"


def amount(effect: Effect, shown: text.Scale) -> str:
    """A change with its sign and its interval: `-0.052 ±0.008`."""
    value, half = effect.value / shown.divisor, effect.half / shown.divisor
    spelled = text.number(value, half)
    return f"{'' if value < 0 else '+'}{spelled} ±{text.number(half, half)}"


def scale(metric: Metric, chosen: Sequence[ChoiceEffect]) -> text.Scale:
    """The unit that a metric's effects are shown in."""
    return text.scale(metric, (c.effects[metric.name].value for c in chosen))


def done(chosen: ChoiceEffect) -> str:
    """What is done, without the layer: `int8`, `w4 instead of w8`."""
    return option(chosen.decision.kind, chosen.option) + compared(chosen.decision)


def state(chosen: ChoiceEffect) -> str:
    """What holds when it is made: `conv3 is in int8`, `a and b have 25% fewer channels`."""
    decision = chosen.decision
    one = len(decision.layers) == 1
    verbs = {BLOCK: ("is", "are"), PRECISION: ("is in", "are in")}
    verb = verbs.get(decision.kind, ("has", "have"))[not one]
    return f"{layers(decision)} {verb} {option(decision.kind, chosen.option)}"
