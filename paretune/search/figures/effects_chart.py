"""The effects of choices as a chart: a row a choice, a column an objective."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from paretune.evaluators import Metric
from paretune.search import text
from paretune.search.explaining import naming
from paretune.search.explaining.effect import Effect
from paretune.search.explaining.explanation import ChoiceEffect, Explanation
from paretune.search.figures import palette

BETTER, WORSE, UNSURE = "better", "worse", "within noise"
_COLOURS = {BETTER: palette.UNIFORM, WORSE: palette.REFERENCE, UNSURE: palette.OTHER}
_SYMBOLS = {BETTER: "circle", WORSE: "diamond", UNSURE: "circle-open"}
_ROW, _FRAME = 22, 180
_REACH = 4.0


def effects_chart(found: Explanation) -> go.Figure:
    """Dots with 95% intervals around the line of no change.

    A few effects may be many times the others: they stand at the edge, with their value.
    """
    metrics = found.objectives
    figure = make_subplots(cols=len(metrics), shared_yaxes=True, horizontal_spacing=0.03)
    rows = list(range(len(found.choices)))
    for column, metric in enumerate(metrics, start=1):
        shown = naming.scale(metric, found.choices)
        edges = _window([c.effects[metric.name] for c in found.choices], shown)
        for kind in (UNSURE, BETTER, WORSE):
            those = [r for r in rows if _kind(found.choices[r].effects[metric.name]) == kind]
            for trace in _traces(found, metric, shown, kind, those, edges):
                figure.add_trace(trace, row=1, col=column)
        name = escape(text.label(metric, shown.unit)).replace("@", "<br>@")
        good = "less is better" if metric.direction == "minimize" else "more is better"
        figure.update_xaxes(
            title_text=f"change of {name}<br>{good}",
            range=list(edges),
            gridcolor=palette.GRID,
            zerolinecolor=palette.INK,
            zerolinewidth=1.2,
            side="top",
            row=1,
            col=column,
        )
    for kind in (BETTER, WORSE, UNSURE):
        marker = {"color": _COLOURS[kind], "symbol": _SYMBOLS[kind], "size": 9}
        figure.add_trace(
            go.Scatter(x=[None], y=[None], mode="markers", name=kind, marker=marker), row=1, col=1
        )
    figure.update_yaxes(
        tickvals=rows,
        ticktext=_labels(found.choices),
        range=[len(rows) - 0.4, -0.6],
        gridcolor=palette.GRID,
        zeroline=False,
    )
    figure.update_layout(
        **layout() | {"margin": {"l": 20, "r": 20, "t": 120, "b": 50}},
        height=_FRAME + _ROW * len(rows),
        legend={"orientation": "h", "x": 0, "y": 0, "yanchor": "top", "xanchor": "left"},
    )
    return figure


def layout() -> dict[str, Any]:
    """What all charts of the page share."""
    return {
        "template": "plotly_white",
        "font": {"family": palette.HTML_FONT, "size": 13, "color": palette.INK},
        "hoverlabel": {"bgcolor": "white", "align": "left", "font": {"size": 13}},
        "hovermode": "closest",
        "margin": {"l": 20, "r": 20, "t": 80, "b": 50},
    }


def _traces(
    found: Explanation,
    metric: Metric,
    shown: text.Scale,
    kind: str,
    rows: Sequence[int],
    edges: tuple[float, float],
) -> list[go.Scatter]:
    effects = [found.choices[row].effects[metric.name] for row in rows]
    values = np.array([effect.value / shown.divisor for effect in effects])
    halves = [effect.half / shown.divisor for effect in effects]
    inside = (edges[0] <= values) & (values <= edges[1])
    hover = [
        f"<b>{escape(naming.choice(found.choices[row]))}</b>"
        f"{escape(naming.compared(found.choices[row].decision))}<br>"
        f"{escape(text.label(metric, shown.unit))}  <b>{naming.amount(effect, shown)}</b>  ({kind})"
        f"<br>in {found.choices[row].trials} of {len(found.trials)} trials"
        for row, effect in zip(rows, effects, strict=True)
    ]
    common = {"showlegend": False, "hovertemplate": "%{text}<extra></extra>", "name": kind}
    dots = go.Scatter(
        x=values[inside].tolist(),
        y=[row for row, here in zip(rows, inside, strict=True) if here],
        error_x={
            "array": [half for half, here in zip(halves, inside, strict=True) if here],
            "thickness": 1.4,
            "width": 3,
        },
        mode="markers",
        marker={"color": _COLOURS[kind], "symbol": _SYMBOLS[kind], "size": 8},
        text=[line for line, here in zip(hover, inside, strict=True) if here],
        **common,
    )
    if inside.all():
        return [dots]
    span = edges[1] - edges[0]
    far: list[int] = np.flatnonzero(~inside).tolist()
    left = values[far] < edges[0]
    return [
        dots,
        go.Scatter(
            x=np.where(left, edges[0] + 0.03 * span, edges[1] - 0.03 * span).tolist(),
            y=[rows[i] for i in far],
            mode="markers+text",
            marker={
                "color": _COLOURS[kind],
                "symbol": ["triangle-left" if one else "triangle-right" for one in left],
                "size": 11,
            },
            text=[naming.amount(effects[i], shown) for i in far],
            customdata=[hover[i] for i in far],
            textposition=["middle right" if one else "middle left" for one in left],
            **(common | {"hovertemplate": "%{customdata}<extra></extra>"}),
        ),
    ]


def _window(effects: Sequence[Effect], shown: text.Scale) -> tuple[float, float]:
    """Wide enough for most: the largest few must not squeeze all others to the line."""
    reach = np.array([max(abs(e.low), abs(e.high)) for e in effects]) / shown.divisor
    usual = _REACH * float(np.quantile(reach, 2 / 3))
    ends = [e for e, r in zip(effects, reach, strict=True) if r <= usual] or list(effects)
    low = min(0.0, *(e.low / shown.divisor for e in ends))
    high = max(0.0, *(e.high / shown.divisor for e in ends))
    room = 0.08 * ((high - low) or 1.0)
    return low - room, high + room


def _kind(effect: Effect) -> str:
    return BETTER if effect.better else WORSE if effect.worse else UNSURE


def _labels(choices: Sequence[ChoiceEffect]) -> list[str]:
    """The layer on its first row only."""
    labels, last = [], ""
    for chosen in choices:
        layer = naming.layers(chosen.decision)
        done = naming.done(chosen)
        labels.append(f"{'' if layer == last else f'<b>{escape(layer)}</b>   '}{escape(done)}")
        last = layer
    return labels
