"""The front as one interactive page that needs nothing else, not even a network."""

from collections.abc import Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from paretune.evaluators import Metric
from paretune.search import text
from paretune.search.figures import palette
from paretune.search.figures.scene import TIED, Axis, Pair, Scene, scene, staircase, window
from paretune.search.info import StudyInfo
from paretune.search.table import ordered
from paretune.search.trial import Trial

_SYMBOLS = {"fp32": "square", "uniform int8": "diamond"}


def front_html(info: StudyInfo, trials: Sequence[Trial]) -> str:
    """A self-contained HTML page (about 5 MB, plotly inside).

    Hover shows a trial's policy and all its figures; with more than two objectives a menu
    selects which two are drawn.
    """
    shown = scene(info, trials)
    figure = go.Figure()
    for pair in shown.pairs[:1]:
        for trace in _traces(pair, shown):
            figure.add_trace(trace)
        figure.update_layout(**_axes(pair, shown))
    figure.update_layout(
        title={
            "text": f"<b>{escape(shown.title)}</b><br><span style='font-size:13px;color:"
            f"{palette.SOFT_INK}'>{escape(shown.caption)}</span>",
            "x": 0.012,
            "xanchor": "left",
            "y": 1,
            "yanchor": "top",
            "pad": {"t": 34},
        },
        template="plotly_white",
        font={"family": palette.HTML_FONT, "size": 14, "color": palette.INK},
        legend={
            "orientation": "h",
            "traceorder": "reversed",
            "x": 0,
            "y": 0.01,
            "yref": "container",
            "yanchor": "bottom",
        },
        hoverlabel={"bgcolor": "white", "align": "left", "font": {"size": 13}},
        hovermode="closest",
        margin={"l": 80, "r": 40, "t": 100, "b": 110},
    )
    if len(shown.pairs) > 1:
        # On a narrow page it would cover the caption.
        figure.update_layout(updatemenus=[_menu(shown)], margin_t=140)
    page = figure.to_html(
        include_plotlyjs=True,
        full_html=True,
        default_height="100vh",
        div_id="front",
        config={"displaylogo": False, "responsive": True},
    )
    head = f"<head><title>{escape(shown.title)}</title><style>body{{margin:0}}</style>"
    return str(page).replace("<head>", head, 1)


def _traces(pair: Pair, shown: Scene) -> list[go.Scatter]:
    x, y = pair.x, pair.y
    steps = staircase(pair, shown.members)
    clear: Any = {"size": 11, "color": palette.FRONT, "line": {"color": "white", "width": 1.2}}
    tied: Any = {"size": 10, "color": "white", "line": {"color": palette.FRONT, "width": 2}}
    traces = [
        _points(
            "violates a constraint",
            pair,
            shown,
            shown.violating,
            {"size": 6, "color": palette.VIOLATING, "symbol": "x-thin-open"},
        ),
        _points(
            "trial", pair, shown, shown.others, {"size": 7, "color": palette.OTHER, "opacity": 0.45}
        ),
        go.Scatter(
            x=x.values(steps).tolist(),
            y=y.values(steps).tolist(),
            mode="lines",
            line={"shape": "hv", "color": palette.FRONT, "width": 1.8},
            opacity=0.7,
            hoverinfo="skip",
            showlegend=False,
            name="attained",
        ),
        *(
            _points(name, pair, shown, members, marker).update(
                error_x=_bars(x, members), error_y=_bars(y, members)
            )
            for name, members, marker in (
                (TIED, shown.ties, tied),
                ("front", shown.clear, clear),
            )
        ),
    ]
    for name, trial in shown.marks.items():
        marker = {
            "size": 14,
            "color": palette.LANDMARKS[name],
            "symbol": _SYMBOLS[name],
            "line": {"color": "white", "width": 1.5},
        }
        traces.append(_points(name, pair, shown, [trial], marker))
    return traces


def _points(
    name: str, pair: Pair, shown: Scene, trials: Sequence[Trial], marker: dict[str, Any]
) -> go.Scatter:
    return go.Scatter(
        x=pair.x.values(trials).tolist(),
        y=pair.y.values(trials).tolist(),
        mode="markers",
        name=name,
        marker=marker,
        customdata=[[trial.number] for trial in trials],
        text=[_hover(shown, trial) for trial in trials],
        hovertemplate="%{text}<extra></extra>",
        showlegend=bool(trials),
    )


def _bars(axis: Axis, trials: Sequence[Trial]) -> dict[str, Any]:
    below, above = axis.errors(trials)
    return {
        "type": "data",
        "symmetric": False,
        "array": above.tolist(),
        "arrayminus": below.tolist(),
        "color": palette.FRONT,
        "thickness": 1.1,
        "width": 3,
    }


def _hover(shown: Scene, trial: Trial) -> str:
    metrics = ordered(shown.info)
    lines = [f"<b>trial {trial.number}</b>", escape(text.summary(trial.policy)), ""]
    lines += [_line(metric, trial) for metric in metrics if metric.name in trial.figures]
    if (standing := shown.standings.get(trial.number)) is not None:
        lines += [f"vs {name}: {how}" for name, how in standing.versus.items()]
        if standing.ties:
            lines.append(f"ties with trial {', '.join(map(str, standing.ties))}")
    lines += [f"violates {escape(violation)}" for violation in trial.violations]
    return "<br>".join(lines)


def _line(metric: Metric, trial: Trial) -> str:
    measured = trial.figures[metric.name]
    shown = text.scale(metric, [measured.value])
    line = f"{escape(text.label(metric, shown.unit))}  <b>{text.figure(measured, shown)}</b>"
    if metric.name in trial.test:
        line += f"   test {text.figure(trial.test[metric.name], shown)}"
    return line


def _axes(pair: Pair, shown: Scene) -> dict[str, Any]:
    def axis(found: Axis) -> dict[str, Any]:
        better = "less is better" if found.sign > 0 else "more is better"
        return {
            "title": {"text": f"{escape(found.title)} · {better}"},
            "range": list(window(found, shown)),
            "gridcolor": palette.GRID,
            "zeroline": False,
        }

    return {"xaxis": axis(pair.x), "yaxis": axis(pair.y)}


def _menu(shown: Scene) -> dict[str, Any]:
    """A drop-down that redraws every trace for another pair of objectives."""
    buttons = []
    for pair in shown.pairs:
        traces = _traces(pair, shown)
        data: dict[str, list[Any]] = {
            "x": [list(trace.x) for trace in traces],
            "y": [list(trace.y) for trace in traces],
            "error_x": [trace.error_x.to_plotly_json() for trace in traces],
            "error_y": [trace.error_y.to_plotly_json() for trace in traces],
        }
        title = f"{text.stem(pair.y.metric)} against {text.stem(pair.x.metric)}".replace("_", " ")
        buttons.append({"label": title, "method": "update", "args": [data, _axes(pair, shown)]})
    return {
        "buttons": buttons,
        "x": 1.0,
        "xanchor": "right",
        "y": 1.01,
        "yanchor": "bottom",
        "bgcolor": "white",
    }
