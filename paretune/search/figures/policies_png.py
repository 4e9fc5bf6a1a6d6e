"""The policies on the front: a heat map of members by layers."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from paretune.evaluators import Metric
from paretune.search import text
from paretune.search.figures import palette
from paretune.search.front import front
from paretune.search.info import StudyInfo
from paretune.search.landmark import landmarks
from paretune.search.trial import Trial
from paretune.spaces import (
    NM,
    Block,
    Channel,
    Drop,
    LowRank,
    Pattern,
    Precision,
    Sparsity,
    Unstructured,
)

_REMOVED = {
    Channel: "−25   % of the output channels removed",
    Unstructured: "50%   of the weights set to zero",
    NM: "2:4   at most 2 of every 4 weights kept",
    Block: "b50   % of the blocks of weights set to zero",
    LowRank: "r50   % of the work saved by two factors",
    Drop: "x   dropped with its block",
}


def draw_policies(info: StudyInfo, trials: Sequence[Trial]) -> Figure:
    """Rows are front members, best first objective on top; columns are layers in graph order.

    Colour is the precision; a text says what was removed: `−25` per cent of the channels,
    `2:4`, or `50%` of the weights.
    """
    members = front(trials, info.objectives)
    layers = [name for name, _ in members[0].policy] if members else []
    with mpl.rc_context(palette.MATPLOTLIB):
        cell = min(0.46, max(0.235, 17.0 / max(len(layers), 1)))
        row = 0.27
        # Their names stand upright below the cells.
        name = 0.056 * max(map(len, layers), default=0)
        figure = Figure(
            figsize=(max(6.5, 1.8 + cell * len(layers) + 0.72 * len(info.objectives)),
                     1.6 + name + row * max(len(members), 2)),
            dpi=150,
            layout="constrained",
            facecolor="white",
        )  # fmt: skip
        axes = figure.subplots()
        figure.suptitle(
            f"{info.name}: policies on the front",
            x=0.012,
            ha="left",
            fontsize=13,
            fontweight="bold",
        )
        if not members:
            axes.set_axis_off()
            axes.text(0.5, 0.5, "no trial satisfies the constraints", ha="center", va="center")
            return figure
        _draw_cells(axes, members, layers, cell)
        names = {trial.number: name for name, trial in landmarks(trials).items()}
        _draw_labels(axes, info.objectives, members, layers, names)
        used = _used(members)
        sparse = {type(choice.sparsity) for member in members for _, choice in member.policy}
        figure.legend(
            handles=[Patch(facecolor=_colour(p), edgecolor="#C4C9CF", label=str(p)) for p in used],
            loc="outside lower left",
            ncols=min(len(used), 8),
            frameon=False,
            fontsize=8.5,
            handlelength=1.1,
            handleheight=1.1,
            title="     ".join(words for kind, words in _REMOVED.items() if kind in sparse) or None,
            title_fontproperties={"size": 8.5},
            alignment="left",
        )
    return figure


def _draw_cells(axes: Axes, members: Sequence[Trial], layers: Sequence[str], cell: float) -> None:
    used = _used(members)
    codes = np.array([[used.index(c.precision) for _, c in m.policy] for m in members])
    colours = ListedColormap([_colour(p) for p in used])
    norm = BoundaryNorm(np.arange(len(used) + 1) - 0.5, len(used))
    axes.pcolormesh(
        np.arange(len(layers) + 1) - 0.5,
        np.arange(len(members) + 1) - 0.5,
        codes,
        cmap=colours,
        norm=norm,
        edgecolors="white",
        linewidth=1.0,
    )
    axes.invert_yaxis()
    for row, member in enumerate(members):
        for column, (_, choice) in enumerate(member.policy):
            if label := _removed(choice.sparsity):
                axes.text(
                    column,
                    row,
                    label,
                    ha="center",
                    va="center",
                    fontsize=7.5 if cell > 0.3 else 6.0,
                    color=_contrast(choice.precision),
                )


def _draw_labels(
    axes: Axes,
    objectives: Sequence[Metric],
    members: Sequence[Trial],
    layers: Sequence[str],
    names: Mapping[int, str],
) -> None:
    axes.set_xticks(range(len(layers)), layers, rotation=90, fontsize=7.0)
    rows = [f"{names.get(m.number, '')}  {m.number}".strip() for m in members]
    axes.set_yticks(range(len(members)), rows, fontsize=8)
    axes.set_ylabel("trial")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for column, metric in enumerate(objectives):
        shown = text.scale(metric, (m.figures[metric.name].value for m in members))
        # Beside the cells in points, so that they keep clear of them however many layers.
        offset = 58 + 64 * column
        places = [(row, member.figures[metric.name]) for row, member in enumerate(members)]
        for y, found in places:
            value = text.figure(found, shown).partition(" ±")[0]
            _beside(axes, len(layers) - 0.5, y, offset, value, va="center")
        heading = text.label(metric, shown.unit).replace(" (", "\n(")
        _beside(axes, len(layers) - 0.5, -0.62, offset, heading, va="bottom")


def _beside(axes: Axes, x: float, y: float, offset: float, words: str, va: str) -> None:
    axes.annotate(
        words,
        (x, y),
        xytext=(offset, 0),
        textcoords="offset points",
        ha="right",
        va=va,
        fontsize=8,
        color=palette.INK if va == "center" else palette.SOFT_INK,
        annotation_clip=False,
    )


def _used(members: Sequence[Trial]) -> list[Precision]:
    """The precisions of the members, Paretune's own first and in the order of their hues."""
    used = {choice.precision for member in members for _, choice in member.policy}
    own = list(palette.PRECISIONS)
    return [p for p in own if p in used] + sorted(used.difference(own))


def _colour(precision: Precision) -> str:
    return palette.PRECISIONS.get(precision, palette.STRANGER)


def _removed(sparsity: Sparsity) -> str:
    match sparsity:
        case Channel(amount):
            return f"−{100 * amount:.0f}"
        case Unstructured(amount):
            return f"{100 * amount:.0f}%"
        case NM(n, m):
            return f"{n}:{m}"
        case Block(amount):
            return f"b{100 * amount:.0f}"
        case LowRank(amount):
            return f"r{100 * amount:.0f}"
        case Drop():
            return "x"
        case Pattern(name):
            return name[:3]
        case _:
            return ""


def _contrast(precision: Precision) -> str:
    red, green, blue = to_rgb(_colour(precision))
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.55 else palette.INK
