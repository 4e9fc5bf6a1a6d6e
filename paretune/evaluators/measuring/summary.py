"""Turns samples into figures, and into a record of where they come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paretune.evaluators.measuring.compact import encode
from paretune.evaluators.measuring.result import Estimate
from paretune.evaluators.measuring.samples import Block, Pair, Samples
from paretune.evaluators.measuring.statistics import median, quantile

DISTURBED, COLD = "disturbed", "cold"
"""Flags: it stayed disturbed; the end of the warm-up was not seen."""


@dataclass(frozen=True)
class Summary:
    """What a `Result` is made of.

    Attributes:
        figures: `latency` and `reference_latency` (median seconds of a run), `ratio` (candidate to
            reference), `p90` and `p99` (seconds of the candidate's runs; runs too short for the
            timer come in groups, each of which counts as one).
        samples: JSON values; `blocks` and `warm_up` are in the form of `compact`.
        flags: `disturbed`, `cold`. That time was up before the interval was narrow is none, since
            the interval tells it.
    """

    figures: Mapping[str, Estimate]
    samples: Mapping[str, Any]
    flags: tuple[str, ...]


def summarize(samples: Samples) -> Summary:
    """Figures of the pairs that count; those of both models are from the same stretch of time."""
    candidate = _times([pair.candidate for pair in samples.counted])
    reference = _times([pair.reference for pair in samples.counted])
    figures = {
        "latency": median(candidate),
        "reference_latency": median(reference),
        "ratio": median([pair.ratio for pair in samples.counted]),
        "p90": quantile(candidate, 0.9),
        "p99": quantile(candidate, 0.99),
    }
    return Summary(figures, _record(samples, candidate), _flags(samples))


def _times(blocks: Sequence[Block]) -> list[float]:
    return [time for block in blocks for time in block.times]


def _flags(samples: Samples) -> tuple[str, ...]:
    flags = {
        DISTURBED: samples.disturbed,
        COLD: not samples.warm,
    }
    return tuple(name for name, is_set in flags.items() if is_set)


def _record(samples: Samples, candidate: Sequence[float]) -> dict[str, Any]:
    p10, p50, p90, p99 = map(float, np.quantile(candidate, [0.1, 0.5, 0.9, 0.99]))
    disturbed = [i for i, pair in enumerate(samples.pairs) if pair.disturbed]
    return {
        "count": len(samples.pairs),
        "converged": samples.converged,
        "retaken": samples.retaken,
        "disturbed": len(disturbed) / len(samples.pairs),
        "disturbed_pairs": disturbed,
        "interference": dict(samples.interference),
        "surroundings": list(samples.surroundings),
        "runs_per_block": {
            "reference": samples.reference_plan.runs,
            "candidate": samples.candidate_plan.runs,
        },
        "min": min(candidate),
        "p10": p10,
        "p50": p50,
        "p90": p90,
        "p99": p99,
        "blocks": _texts(samples.pairs),
        "warm_up": _texts(samples.warm_up),
    }


def _texts(pairs: Sequence[Pair]) -> dict[str, str]:
    return {
        "reference": encode([pair.reference.seconds for pair in pairs]),
        "candidate": encode([pair.candidate.seconds for pair in pairs]),
    }
