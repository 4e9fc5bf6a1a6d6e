"""Several measurements of one thing as one."""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

from paretune.evaluators.measurement import Measurement

ROUNDS = "rounds"
"""Key of a pooled measurement's samples: the single ones, in the order of time."""


def repeatable(measurement: Measurement) -> bool:
    """Whether measuring again must give the same: exact figures, and those taken on data."""
    return measurement.low is None or "split" in measurement.conditions


def rounds(measurement: Measurement) -> tuple[Measurement, ...]:
    """The single measurements behind one; itself if it was taken once."""
    single: Sequence[Mapping[str, Any]] = measurement.samples.get(ROUNDS, ())
    if not single:
        return (measurement,)
    return tuple(
        Measurement.from_dict({**one, "conditions": measurement.conditions}) for one in single
    )


def pool(first: Measurement, *others: Measurement) -> Measurement:
    """One measurement from several independent ones, each of which may be pooled already.

    The mean weighted by the inverse variances. Where the values disagree more than their intervals
    allow for, since the machine was in another mood, say, the pooled interval is widened by the
    Birge ratio (Birge 1932, doi:10.1103/PhysRev.40.207; the scale factor of the Particle Data
    Group): with the square root of chi squared over its degrees of freedom, never below 1. A flag
    stays where every round carries it.

    Args:
        first, others: taken under the same conditions, of figures that are not exact.

    Raises:
        ValueError: one of them is exact.
    """
    taken = [one for each in (first, *others) for one in rounds(each)]
    if len(taken) == 1:
        return first
    halves = [_half(one) for one in taken]
    # A width of 0 is an accident of the samples, and no reason to believe in one round alone.
    weights = [1 / half**2 for half in halves] if min(halves) > 0 else [1.0 for _ in halves]
    total = sum(weights)
    value = sum(w * one.value for w, one in zip(weights, taken, strict=True)) / total
    half = sqrt(sum((w * h) ** 2 for w, h in zip(weights, halves, strict=True))) / total
    if min(halves) > 0:
        # In units of half an interval, which is 1.96 standard errors.
        chi2 = 1.96**2 * sum(
            ((one.value - value) / h) ** 2 for one, h in zip(taken, halves, strict=True)
        )
        half *= max(1.0, sqrt(chi2 / (len(taken) - 1)))
    else:
        half = max(half, *(abs(one.value - value) for one in taken))
    return Measurement(
        value,
        value - half,
        value + half,
        {ROUNDS: [_spelled(one) for one in taken]},
        first.conditions,
        tuple(flag for flag in taken[0].flags if all(flag in one.flags for one in taken)),
    )


def _half(measurement: Measurement) -> float:
    if measurement.low is None or measurement.high is None:
        raise ValueError(f"an exact figure cannot be pooled, but got {measurement.value}")
    return (measurement.high - measurement.low) / 2


def _spelled(measurement: Measurement) -> dict[str, Any]:
    return {key: value for key, value in measurement.to_dict().items() if key != "conditions"}
