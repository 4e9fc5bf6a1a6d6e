"""The samples behind a comparison: over time, and how they are spread."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paretune.evaluators.comparison import Comparison, Row
from paretune.evaluators.data import Array
from paretune.evaluators.measuring.compact import decode
from paretune.search.figures import palette

_BINS = 30
_SHOWN_QUANTILE = 0.98
_MARGIN = 0.15
_SERIES = (("reference", palette.OTHER), ("candidate", palette.FRONT))


@dataclass(frozen=True)
class _Side:
    """Milliseconds a run in each block of one model, in the order of time.

    Attributes:
        warm_up, blocks: shape (pairs,).
        disturbed: of `blocks`, boolean.
    """

    warm_up: Array
    blocks: Array
    disturbed: Array


def draw_samples(comparison: Comparison) -> Figure:
    """One line of panels for each model: its blocks and the reference's over time, and spread.

    Warm-ups are left of 0. Blocks that stayed disturbed are crosses, those far above triangles at
    the edge. The band is the 95% interval of the median.
    """
    rows = [row for row in comparison.rows if "latency" in row.samples]
    with mpl.rc_context(palette.MATPLOTLIB):
        figure = Figure(
            figsize=(9.6, 0.9 + 2.3 * len(rows)), dpi=150, layout="constrained", facecolor="white"
        )
        grid = figure.subplots(
            len(rows), 2, squeeze=False, sharey="row", gridspec_kw={"width_ratios": (4, 1)}
        )
        for (time, spread), row in zip(grid, rows, strict=True):
            _draw_row(time, spread, row, comparison)
        for axes, text in zip(grid[-1], ("block", "blocks"), strict=True):
            axes.set_xlabel(text)
        handles, labels = grid[-1][0].get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="outside lower left",
            ncols=len(labels),
            frameon=False,
            fontsize=8.5,
        )
    return figure


def _draw_row(time: Axes, spread: Axes, row: Row, comparison: Comparison) -> None:
    sides = {name: _side(row.samples["latency"], name) for name, _ in _SERIES}
    alone = row.model == comparison.reference
    shown = [("candidate", palette.FRONT)] if alone else _SERIES
    low, high = _window([sides[name] for name, _ in shown])
    time.set_ylim(low, high)
    for axes in (time, spread):
        axes.grid(color=palette.GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
    for name, colour in shown:
        side = sides[name]
        label = "model" if name == "candidate" else "reference"
        _dots(time, -np.arange(len(side.warm_up), 0, -1), side.warm_up, high, colour, hollow=True)
        place = np.arange(len(side.blocks))
        _dots(time, place[~side.disturbed], side.blocks[~side.disturbed], high, colour, label)
        time.plot(
            place[side.disturbed],
            np.minimum(side.blocks[side.disturbed], high),
            linestyle="none",
            marker="x",
            markersize=4,
            color=colour,
        )
        inside = side.blocks[side.blocks <= high]
        spread.hist(
            inside,
            bins=np.linspace(low, high, _BINS).tolist(),
            orientation="horizontal",
            color=colour,
            alpha=0.75 if name == "candidate" else 0.4,
        )
    median = row.figures["latency_ms"]
    if median.low is not None and median.high is not None:
        time.axhspan(median.low, median.high, color=palette.FRONT, alpha=0.18, linewidth=0)
    time.axvline(-0.5, color=palette.SOFT_INK, linewidth=0.8, linestyle=":")
    time.set_ylabel("ms a run")
    rounds = max(r.round for r in comparison.rows)
    title = comparison.names[row.model] + (f", round {row.round}" if rounds > 1 else "")
    flags = f"   {', '.join(row.flags)}" if row.flags else ""
    time.set_title(f"{title}{flags}", loc="left", fontsize=10, fontweight="bold")


def _dots(
    axes: Axes,
    x: Array,
    y: Array,
    top: float,
    colour: str,
    label: str = "_",
    *,
    hollow: bool = False,
) -> None:
    style: dict[str, Any] = {
        "linestyle": "none",
        "color": colour,
        "markersize": 3.2,
        "markerfacecolor": "none" if hollow else colour,
        "markeredgewidth": 0.7,
    }
    far = y > top
    axes.plot(x[~far], y[~far], marker="o", label=label, **style)
    if far.any():
        axes.plot(x[far], np.full(far.sum(), top), marker="^", clip_on=False, **style)


def _side(samples: Any, name: str) -> _Side:
    blocks = 1e3 * np.array(decode(samples["blocks"][name]))
    disturbed = np.zeros(len(blocks), bool)
    disturbed[list(samples["disturbed_pairs"])] = True
    return _Side(1e3 * np.array(decode(samples["warm_up"][name])), blocks, disturbed)


def _window(sides: Sequence[_Side]) -> tuple[float, float]:
    every = np.concatenate([side.blocks for side in sides])
    low = float(every.min())
    high = max(float(np.quantile(side.blocks, _SHOWN_QUANTILE)) for side in sides)
    margin = _MARGIN * max(high - low, 0.02 * high)
    return low - margin, high + margin
