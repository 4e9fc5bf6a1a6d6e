"""The grain of channel counts: which counts below a full one do not run slower."""

from collections.abc import Iterator, Sequence

from paretune.evaluators.measuring.result import Result
from paretune.search.profiling.place import Place, row_of
from paretune.search.profiling.probes import narrowed
from paretune.search.profiling.profile import Row
from paretune.spaces import Choice, Precision

FULL = 64
COUNTS = {1: 63, 2: 62, 4: 60, 8: 56, 16: 48}
"""A grain to the largest count below `FULL` that is a multiple of it, but of no larger grain."""

PRECISIONS = (Precision.FP32, Precision.INT8)
_NO_SLOWER = 1.02
_FASTER = 0.97


def measure_grain(place: Place) -> Iterator[tuple[Row, Result]]:
    """Time convolutions of fewer channels against those of `FULL` channels."""
    for precision in PRECISIONS:
        choice = Choice(precision)
        reference = place.build(place.prepare(narrowed(FULL)), choice, "full.onnx")
        for count in COUNTS.values():
            probe = narrowed(count)
            candidate = place.build(place.prepare(probe), choice, "fewer.onnx")
            result = place.measure(probe, candidate, reference)
            yield row_of(probe, label(precision, count), result), result


def label(precision: Precision, count: int) -> str:
    """What a row of `measure_grain` has as its choice."""
    return f"{precision} {count} of {FULL} channels"


def grain(rows: Sequence[Row]) -> int:
    """The smallest grain from which on fewer channels are worth it; at most 16.

    A count is worth it if it runs slower than all channels in no precision, and faster in one.

    Args:
        rows: those of `measure_grain` among any others.
    """
    measured = {row.choice: row for row in rows}
    smallest = max(COUNTS)
    for candidate in sorted(COUNTS, reverse=True):
        rows_here = [measured[label(precision, COUNTS[candidate])] for precision in PRECISIONS]
        ratios = [row.ratio for row in rows_here if row.ratio is not None]
        if not ratios or max(ratios) > _NO_SLOWER or min(ratios) > _FASTER:
            break
        smallest = candidate
    return smallest
