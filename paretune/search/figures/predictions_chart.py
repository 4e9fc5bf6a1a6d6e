"""Measured figures against those predicted from other trials."""

from html import escape

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from paretune.search import text
from paretune.search.explaining import words
from paretune.search.explaining.explanation import Doubt, Explanation
from paretune.search.figures import palette
from paretune.search.figures.effects_chart import layout

MARKED = 5


def predictions_chart(found: Explanation) -> go.Figure:
    """A panel an objective: a dot a trial, on the line where it was predicted exactly."""
    count = len(found.doubts)
    titles = [f"<b>{escape(text.label(d.metric, _shown(d).unit))}</b>" for d in found.doubts]
    figure = make_subplots(cols=count, horizontal_spacing=0.28 / count, subplot_titles=titles)
    for column, doubt in enumerate(found.doubts, start=1):
        those, shown = doubt.predictions, _shown(doubt)
        wrong = set(those.misjudged(MARKED))
        for marked in (False, True):
            rows = [r for r in range(len(found.trials)) if (r in wrong) == marked]
            colour = palette.REFERENCE if marked else palette.FRONT
            figure.add_trace(
                go.Scatter(
                    x=(those.predicted[rows] / shown.divisor).tolist(),
                    y=(those.measured[rows] / shown.divisor).tolist(),
                    error_x={
                        "array": ((those.high - those.predicted)[rows] / shown.divisor).tolist(),
                        "arrayminus": (
                            (those.predicted - those.low)[rows] / shown.divisor
                        ).tolist(),
                        "color": colour if marked else "rgba(0,114,178,0.25)",
                        "thickness": 1,
                        "width": 0,
                    },
                    mode="markers",
                    marker={"size": 8 if marked else 6, "color": colour, "opacity": 0.8},
                    name="misjudged most" if marked else "trial",
                    showlegend=column == 1,
                    text=[
                        f"<b>trial {found.trials[row].number}</b><br>"
                        f"{escape(text.summary(found.trials[row].policy))}<br>"
                        "measured {}, predicted {}".format(*words.prediction(doubt, row, shown))
                        for row in rows
                    ],
                    hovertemplate="%{text}<extra></extra>",
                ),
                row=1,
                col=column,
            )
        ends = [float(those.measured.min()), float(those.measured.max())]
        ends = [end / shown.divisor for end in ends]
        room = 0.06 * (ends[1] - ends[0]) or 1.0
        ends = [ends[0] - room, ends[1] + room]
        line = {"color": palette.OTHER, "width": 1, "dash": "dot"}
        figure.add_trace(
            go.Scatter(x=ends, y=ends, mode="lines", line=line, showlegend=False, hoverinfo="skip"),
            row=1,
            col=column,
        )
        axis = {"gridcolor": palette.GRID, "zeroline": False, "range": ends, "row": 1}
        figure.update_xaxes(title_text="predicted from other trials", **axis, col=column)
        figure.update_yaxes(title_text="measured", **axis, col=column)
    figure.update_layout(
        **layout(), height=460, legend={"orientation": "h", "x": 0, "y": -0.18, "yanchor": "top"}
    )
    return figure


def _shown(doubt: Doubt) -> text.Scale:
    return text.scale(doubt.metric, doubt.predictions.measured)
