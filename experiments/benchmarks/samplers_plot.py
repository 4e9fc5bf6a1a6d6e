"""The true hypervolume against trials, and against the sampler's seconds."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.benchmarks.replay import Floats
from experiments.benchmarks.replayed_search import Trace
from paretune.search.figures import palette

COLOURS = {
    "guided": palette.REFERENCE,
    "nsga2": palette.FRONT,
    "nsga3": "#56B4E9",
    "tpe": palette.UNIFORM,
    "gp": "#CC79A7",
    "random": palette.OTHER,
}
QUARTILES = (0.25, 0.5, 0.75)
POINTS = 400
FIRST_TRIAL, FIRST_SECOND = 10, 0.1
"""Where the plots begin."""


def draw(traces: Mapping[str, Mapping[str, Sequence[Trace]]], path: Path) -> None:
    """A row a space: medians as lines, from quartile to quartile as bands.

    A line ends where half of its runs have ended.

    Args:
        traces: space to sampler to a trace for every seed.
        path: PNG file to write.
    """
    with mpl.rc_context(palette.MATPLOTLIB):
        figure = Figure(figsize=(9, 2.7 * len(traces) + 0.4), dpi=150, layout="constrained")
        rows = figure.subplots(len(traces), 2, squeeze=False, sharey="row")
        for (by_trials, by_seconds), (space, samplers) in zip(rows, traces.items(), strict=True):
            for sampler, runs in samplers.items():
                trials = [np.arange(1.0, len(run.share) + 1) for run in runs]
                _draw(by_trials, trials, FIRST_TRIAL, runs, sampler)
                _draw(by_seconds, [run.seconds for run in runs], FIRST_SECOND, runs, sampler)
            by_trials.set_title(space, loc="left", fontweight="bold")
            by_trials.set_ylabel("share of the true hypervolume")
            for axes, label in ((by_trials, "trials"), (by_seconds, "seconds of the sampler")):
                axes.set_xscale("log")
                axes.set_xlabel(label)
                axes.grid(color=palette.GRID, linewidth=0.8)
        handles, labels = rows[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
        figure.savefig(path)


def curve(axis: Sequence[Floats], shares: Sequence[Floats], begin: float) -> tuple[Floats, Floats]:
    """Quartiles of the runs, until half of them have ended; those that have, stay where they are.

    Args:
        axis: per run, ascending: where its shares were reached.
        shares: per run.
        begin: more than 0; what was before is left out.

    Returns:
        places of shape (points,), and the quartiles there, shape (3, points).
    """
    end = float(np.median([one[-1] for one in axis]))
    places = np.geomspace(begin, max(end, begin), POINTS)
    rows = []
    for one, share in zip(axis, shares, strict=True):
        reached = np.searchsorted(one, places, side="right")
        rows.append(np.where(reached > 0, share[reached - 1], 0))
    return places, np.quantile(rows, QUARTILES, axis=0)


def _draw(
    axes: Axes, axis: Sequence[Floats], begin: float, runs: Sequence[Trace], sampler: str
) -> None:
    colour = COLOURS.get(sampler, palette.INK)
    places, (low, middle, high) = curve(axis, [run.share for run in runs], begin)
    axes.fill_between(places, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(places, middle, color=colour, label=sampler, linewidth=1.6)
