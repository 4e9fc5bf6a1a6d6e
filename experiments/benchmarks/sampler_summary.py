"""What runs of samplers come down to: medians over the seeds, and ours against the best other."""

from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np

from experiments.benchmarks.replayed_search import Trace

OURS = "guided"
BLIND = "guided:blind"
"""Ours without clues."""
ORACLE = "oracle"
"""Not a sampler: what one would need who knew the truth."""

SHARES = (0.90, 0.95, 0.99)
EARLY = 100
"""Trials after which to look; 2% of each of the tables is less."""

Summary = dict[str, dict[str, float | None]]


def summarize(traces: Mapping[str, Sequence[Trace]]) -> Summary:
    """Figures of every sampler, JSON values; None is "not reached".

    `trials_95` is the number of trials that a share of 95% takes; `early` the share after `EARLY`
    trials, `last` at the end; `ms` what the sampler takes for a trial; `finished` the share of runs
    that the time limit did not stop.
    """
    return {sampler: _figures(runs) for sampler, runs in traces.items()}


def needed(trace: Trace, share: float) -> float:
    """Trials until the share of the true hypervolume is reached; infinite if it is not."""
    reached = np.flatnonzero(trace.share >= share)
    return float(reached[0] + 1) if len(reached) else np.inf


def ratios(summary: Summary, trials: int) -> dict[str, float | None]:
    """Trials of ours to those of the best built-in sampler, by share.

    Where no other has reached it, they are compared with all that those had: at most the ratio.

    Args:
        trials: that every run had, if the time limit did not stop it.
    """
    found: dict[str, float | None] = {}
    for share in SHARES:
        key = _key(share)
        ours = summary[OURS][key]
        others = [one[key] for name, one in summary.items() if name not in (OURS, BLIND, ORACLE)]
        if others:
            best = min((other for other in others if other is not None), default=trials)
            found[key] = None if ours is None else round(ours / best, 4)
    return found


def _figures(runs: Sequence[Trace]) -> dict[str, float | None]:
    def median(values: Sequence[float]) -> float | None:
        middle = float(np.median(values))
        return round(middle, 4) if isfinite(middle) else None

    return {
        **{_key(share): median([needed(run, share) for run in runs]) for share in SHARES},
        "early": median([run.share[:EARLY][-1] for run in runs]),
        "last": median([run.share[-1] for run in runs]),
        "found": median([run.found[-1] for run in runs]),
        "ms": median([1e3 * run.seconds[-1] / len(run.seconds) for run in runs]),
        "finished": round(float(np.mean([run.finished for run in runs])), 4),
    }


def _key(share: float) -> str:
    return f"trials_{share:.0%}".rstrip("%")
