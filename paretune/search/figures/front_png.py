"""The front as a still picture."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paretune.search.figures import palette
from paretune.search.figures.scene import TIED, Pair, Scene, outside, scene, staircase, window
from paretune.search.info import StudyInfo
from paretune.search.trial import Trial

_MARKERS = {"fp32": "s", "uniform int8": "D"}


def draw_front(info: StudyInfo, trials: Sequence[Trial]) -> Figure:
    """All trials faint, the front as a staircase with intervals, landmarks marked.

    One panel for two objectives, one for every pair of more. A single objective is drawn against
    the next metric of the study.
    """
    with mpl.rc_context(palette.MATPLOTLIB):
        shown = scene(info, trials)
        panels = max(1, len(shown.pairs))
        columns = min(panels, 3)
        rows = -(-panels // columns)
        width, height = (8.0, 5.4) if panels == 1 else (4.9 * columns, 4.2 * rows + 0.9)
        figure = Figure(figsize=(width, height), dpi=160, layout="constrained", facecolor="white")
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, pair in zip(grid.flat, shown.pairs, strict=False):
            _draw_pair(axes, pair, shown)
        for axes in list(grid.flat)[len(shown.pairs) :]:
            axes.set_axis_off()
        figure.suptitle(
            shown.title, x=0.012, ha="left", fontsize=13, fontweight="bold", color=palette.INK
        )
        # Places of the axes, which the numbers' spacing needs, are known after one layout.
        figure.draw_without_rendering()
        for axes, pair in zip(grid.flat, shown.pairs, strict=False):
            _number(axes, pair, staircase(pair, shown.members))
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(
            handles[::-1],
            labels[::-1],
            loc="outside lower left",
            ncols=len(labels),
            frameon=False,
            fontsize=8.5,
            handletextpad=0.4,
            columnspacing=1.4,
            title=shown.caption,
            title_fontproperties={"size": 8.5},
            alignment="left",
        )
    return figure


def _draw_pair(axes: Axes, pair: Pair, shown: Scene) -> None:
    x, y = pair.x, pair.y
    axes.set_xlim(window(x, shown))
    axes.set_ylim(window(y, shown))
    axes.grid(color=palette.GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.set_xlabel(f"{x.title}  {_better(x.sign, '←', '→')}")
    axes.set_ylabel(f"{y.title}  {_better(y.sign, '←', '→')}")

    if far := outside(pair, shown):
        axes.set_title(f"{far} farther off", loc="right", fontsize=7.5, color=palette.SOFT_INK)
    axes.scatter(
        x.values(shown.violating),
        y.values(shown.violating),
        color=palette.VIOLATING,
        marker="x",
        s=14,
        linewidths=0.9,
        label="violates a constraint" if shown.violating else "_",
    )
    axes.scatter(
        x.values(shown.others),
        y.values(shown.others),
        color=palette.OTHER,
        alpha=0.45,
        label="trial",
        linewidths=0,
        s=17,
    )
    _draw_front(axes, pair, shown)
    for name, trial in shown.marks.items():
        axes.scatter(
            x.values([trial]),
            y.values([trial]),
            color=palette.LANDMARKS[name],
            marker=_MARKERS[name],
            s=62,
            edgecolors="white",
            linewidths=1.2,
            zorder=6,
            label=name,
        )


def _draw_front(axes: Axes, pair: Pair, shown: Scene) -> None:
    x, y = pair.x, pair.y
    steps = staircase(pair, shown.members)
    if steps:
        xs, ys = x.values(steps), y.values(steps)
        # The ends run to the border: what was attained goes on behind the last member.
        worst_x = axes.get_xlim()[1 if x.sign > 0 else 0]
        worst_y = axes.get_ylim()[1 if y.sign > 0 else 0]
        xs = np.array([xs[0], *xs, worst_x])
        ys = np.array([worst_y, *ys, ys[-1]])
        axes.fill_between(xs, ys, worst_y, step="post", color=palette.FRONT, alpha=0.055, lw=0)
        axes.plot(xs, ys, drawstyle="steps-post", color=palette.FRONT, lw=1.3, alpha=0.75)
    for label, members, face, edge in (
        (TIED, shown.ties, "white", palette.FRONT),
        ("front", shown.clear, palette.FRONT, "white"),
    ):
        axes.errorbar(
            x.values(members),
            y.values(members),
            xerr=x.errors(members),
            yerr=y.errors(members),
            fmt="o",
            ms=6.2,
            mfc=face,
            mec=edge,
            mew=0.9,
            ecolor=palette.FRONT,
            elinewidth=0.9,
            alpha=0.95,
            zorder=5,
            label=label if members else "_",
        )


def _number(axes: Axes, pair: Pair, steps: Sequence[Trial]) -> None:
    """Trial numbers, on the side that no trial has reached; none covers another."""
    x, y = pair.x, pair.y
    right, up = x.sign < 0, y.sign < 0
    taken: list[tuple[float, float]] = []
    for member, px, py in zip(steps, x.values(steps), y.values(steps), strict=True):
        place = axes.transData.transform((px, py)) * 72 / axes.figure.dpi
        if any(abs(place[0] - u) < 17 and abs(place[1] - v) < 9 for u, v in taken):
            continue
        taken.append((float(place[0]), float(place[1])))
        axes.annotate(
            str(member.number),
            (px, py),
            xytext=(5 if right else -5, 5 if up else -5),
            textcoords="offset points",
            ha="left" if right else "right",
            va="bottom" if up else "top",
            fontsize=7.5,
            color=palette.SOFT_INK,
            zorder=7,
        )


def _better(sign: float, low: str, high: str) -> str:
    return f"{low} better" if sign > 0 else f"better {high}"
