"""How metrics, figures and policies are spelled for people: in tables, pictures and reports."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from paretune.evaluators import Measurement, Metric
from paretune.spaces import Channel, Dense, Drop, Policy

_BYTES = {"b", "byte", "bytes"}

DOUBTFUL = "~"
"""Marks figures that carry flags."""

_MEANINGS = {
    "disturbed": "something else used the machine meanwhile",
    "cold": "the end of the warm-up was not seen",
}


@dataclass(frozen=True)
class Scale:
    """The unit that a metric's values are shown in: `shown = value / divisor`."""

    divisor: float
    unit: str


def stem(metric: Metric) -> str:
    """The metric's name without its unit: `latency_ms` is `latency`, `size_bytes` is `size`."""
    unit = re.escape(metric.unit)
    return re.sub(rf"_{unit}(?=@|$)", "", metric.name) if metric.unit else metric.name


def scale(metric: Metric, values: Iterable[float]) -> Scale:
    """Bytes in the decimal prefix that suits the largest of `values`; other units as they are."""
    if metric.unit.lower() not in _BYTES:
        return Scale(1.0, metric.unit)
    largest = max((abs(value) for value in values), default=0.0)
    for divisor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if largest >= divisor:
            return Scale(divisor, unit)
    return Scale(1.0, "B")


def label(metric: Metric, unit: str | None = None) -> str:
    """A heading: `latency (ms)`, `size (kB)`, `accuracy`.

    Args:
        unit: instead of the metric's own, as `scale` chose it.
    """
    unit = metric.unit if unit is None else unit
    name = stem(metric).replace("_", " ")
    return f"{name} ({unit})" if unit else name


def number(value: float, uncertainty: float | None = None) -> str:
    """A number to the digits that it deserves.

    Args:
        uncertainty: half the width of its interval; its two leading digits say where to stop.
            Without it the number is taken as exact and shown to four significant digits.
    """
    if uncertainty is None or uncertainty <= 0:
        if value == round(value) and abs(value) < 1e5:
            return f"{value:.0f}"
        return f"{value:.{_decimals(value, 4)}f}"
    return f"{value:.{_decimals(uncertainty, 2)}f}"


def figure(measurement: Measurement, shown: Scale) -> str:
    """A measurement with its interval: `0.9812 ±0.0041`; the wider side where it is lopsided.

    It ends in `~` where the measurement carries flags.
    """
    mark = f" {DOUBTFUL}" if measurement.flags else ""
    value = measurement.value / shown.divisor
    if measurement.low is None or measurement.high is None:
        plain = number(value) if shown.divisor == 1 else f"{value:.{_decimals(value, 4)}f}"
        return f"{plain}{mark}"
    half = max(measurement.value - measurement.low, measurement.high - measurement.value)
    half /= shown.divisor
    return f"{number(value, half)} ±{number(half, half)}{mark}"


def flags(
    metrics: Iterable[Metric], measured: Mapping[str, Measurement], prefix: str = ""
) -> list[str]:
    """One text a metric that carries flags, such as `latency_ms: disturbed`.

    Args:
        prefix: of the metrics' names.
    """
    return [
        f"{prefix}{metric.name}: {', '.join(found.flags)}"
        for metric in metrics
        if (found := measured.get(metric.name)) is not None and found.flags
    ]


def doubts(measured: Iterable[Measurement]) -> str:
    """What `~` means in a table of these figures; empty where none carries a flag."""
    found = sorted({flag for one in measured for flag in one.flags})
    meant = [f"{flag} ({_MEANINGS[flag]})" if flag in _MEANINGS else flag for flag in found]
    return f"{DOUBTFUL} doubtful: {', '.join(meant)}." if found else ""


def summary(policy: Policy) -> str:
    """A policy in a few words: `12 int8, 3 fp32; 2 2:4, 2 drop; 4 lose 12-50% channels`."""
    left = [choice.precision for _, choice in policy if not isinstance(choice.sparsity, Drop)]
    precisions = Counter(left)
    sparsities = [choice.sparsity for _, choice in policy]
    zeros = Counter(str(s) for s in sparsities if not isinstance(s, Dense | Channel))
    counted = (precisions.most_common(), zeros.most_common())
    parts = [", ".join(f"{n} {name}" for name, n in part) for part in counted if part]
    if amounts := [s.amount for s in sparsities if isinstance(s, Channel)]:
        ends = dict.fromkeys(f"{100 * amount:.0f}" for amount in (min(amounts), max(amounts)))
        parts.append(
            f"{len(amounts)} {'loses' if len(amounts) == 1 else 'lose'} {'-'.join(ends)}% channels"
        )
    return "; ".join(parts)


def _decimals(value: float, significant: int) -> int:
    if value == 0 or not math.isfinite(value):
        return 0
    return min(9, max(0, significant - 1 - math.floor(math.log10(abs(value)))))
