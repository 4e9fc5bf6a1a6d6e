"""The policies that every search starts from: fp32, the uniform ones, a spread of channels."""

from collections.abc import Sequence

from paretune.spaces import Policy, Precision, Space

SPREAD = 4


def seed_policies(space: Space) -> list[Policy]:
    """Different policies, the fp32 one first.

    All uniform policies follow, of each precision that some layer offers; then, at fp32 and int8,
    up to four channel amounts, spread evenly over those on offer.
    """
    offered = {precision for options in space.precisions.values() for precision in options}
    uniform = [Precision.FP32, *(p for p in Precision.USUAL if p in offered)]
    pruned = [p for p in (Precision.FP32, Precision.INT8) if p in offered]
    amounts = sorted({amount for options in space.channels.values() for amount in options})
    policies = [space.uniform(precision) for precision in uniform]
    policies += [space.uniform(p, amount) for amount in spread(amounts, SPREAD) for p in pruned]
    return list(dict.fromkeys(policies))


def spread(values: Sequence[float], count: int) -> list[float]:
    """At most `count` of ascending `values`, evenly spaced in rank, both ends included."""
    if len(values) <= count:
        return list(values)
    return [values[round(i * (len(values) - 1) / (count - 1))] for i in range(count)]
