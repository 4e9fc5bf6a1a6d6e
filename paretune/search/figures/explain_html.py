"""What the search learned, as one page that needs nothing else, not even a network."""

import json
from collections.abc import Iterable, Sequence
from html import escape

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from paretune.search import text
from paretune.search.explaining import naming, words
from paretune.search.explaining.explanation import Explanation
from paretune.search.explaining.verdict import Verdict
from paretune.search.figures import palette
from paretune.search.figures.effects_chart import effects_chart
from paretune.search.figures.predictions_chart import MARKED, predictions_chart

_STYLE = f"""
body {{ margin: 0 auto; max-width: 1280px; padding: 24px 32px 64px; color: {palette.INK};
  font: 15px/1.5 {palette.HTML_FONT}; }}
h1 {{ font-size: 24px; margin: 0 0 8px; }}
h2 {{ font-size: 18px; margin: 36px 0 6px; }}
p, .soft {{ color: {palette.SOFT_INK}; margin: 4px 0; max-width: 900px; }}
.cards {{ display: grid; gap: 16px; margin-top: 20px;
  grid-template-columns: repeat(auto-fit, minmax(480px, 1fr)); }}
.card {{ border: 1px solid {palette.GRID}; border-top: 4px solid; border-radius: 4px;
  padding: 12px 18px; }}
.card h2 {{ margin: 0; }}
ul {{ margin: 8px 0; padding-left: 18px; overflow-wrap: anywhere; }}
table {{ border-collapse: collapse; font-size: 14px; }}
th, td {{ text-align: left; padding: 4px 18px 4px 0; border-bottom: 1px solid {palette.GRID}; }}
td.n, th.n {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
"""


def explain_html(found: Explanation) -> str:
    """A self-contained HTML page (about 5 MB, plotly inside)."""
    title = f"{found.name}: what the search learned"
    body = [f"<h1>{escape(title)}</h1>"]
    if found.untold:
        body.append(f"<p>{escape(found.untold)}.</p>")
    else:
        body += _sections(found)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f"</title><style>{_STYLE}</style><script>{get_plotlyjs()}</script></head>\n"
        f"<body>{''.join(body)}</body></html>\n"
    )


def _sections(found: Explanation) -> Iterable[str]:
    yield _paragraphs([words.headline(found), *words.notes(found)])
    if found.objectives:
        yield '<div class="cards">'
        yield _card(
            "Protect", "The largest loss of quality in each layer", words.protect(found), "worse"
        )
        yield _card("Free", _sentence(Verdict.FREE), words.verdicts(found, Verdict.FREE), "better")
        yield _card(
            "Not worth it", _sentence(Verdict.WASTE), words.verdicts(found, Verdict.WASTE), "plain"
        )
        yield _card(
            "Neighbours that interact",
            "What two choices change together, beyond the sum of what each changes alone;"
            " the largest of each objective.",
            words.interactions(found),
            "front",
        )
        yield "</div><h2>What each choice changes</h2>"
        yield _paragraphs(
            ["Against leaving the layer alone; bars are 95% intervals. Rows follow the network."]
        )
        yield _chart(effects_chart(found), "effects")
        yield "<h2>All choices in figures</h2>"
        yield _choices_table(found)
    yield "<h2>How far to trust this</h2>"
    yield _paragraphs(
        [
            "Each fifth of the trials, predicted from the other four: effects are worth no more"
            " than these predictions are.",
        ]
    )
    yield _list([words.trust(doubt) for doubt in found.doubts])
    yield _chart(predictions_chart(found), "predictions")
    yield _misjudged_table(found)


def _card(title: str, about: str, lines: Sequence[str], colour: str) -> str:
    colours = {
        "worse": palette.REFERENCE,
        "better": palette.UNIFORM,
        "front": palette.FRONT,
        "plain": palette.OTHER,
    }
    return (
        f'<div class="card" style="border-top-color: {colours[colour]}"><h2>{escape(title)}</h2>'
        f"<p>{escape(about)}</p>{_list(lines)}</div>"
    )


def _choices_table(found: Explanation) -> str:
    scales = {metric.name: naming.scale(metric, found.choices) for metric in found.objectives}
    heads = [text.label(metric, scales[metric.name].unit) for metric in found.objectives]
    rows = []
    for chosen in found.choices:
        cells = [
            (f"<b>{spelled}</b>" if effect.real else spelled)
            for metric in found.objectives
            for effect in [chosen.effects[metric.name]]
            for spelled in [naming.amount(effect, scales[metric.name])]
        ]
        verdict = "" if chosen.verdict is Verdict.UNCLEAR else chosen.verdict.value
        rows.append([escape(naming.choice(chosen) + naming.compared(chosen.decision)),
                     str(chosen.trials), *cells, escape(verdict)])  # fmt: skip
    return _table(["choice", "trials", *heads, "verdict"], rows, range(1, 2 + len(heads)))


def _misjudged_table(found: Explanation) -> str:
    rows = []
    for doubt in found.doubts:
        shown = text.scale(doubt.metric, doubt.predictions.measured)
        name = text.label(doubt.metric, shown.unit)
        for row in doubt.predictions.misjudged(MARKED):
            trial = found.trials[row]
            figures = words.prediction(doubt, row, shown)
            summary = escape(text.summary(trial.policy))
            rows.append([str(trial.number), escape(name), *figures, summary])
    if not rows:
        return ""
    heads = ["trial", "objective", "measured", "predicted", "policy"]
    return f"<h2>Misjudged most</h2>{_table(heads, rows, (0, 2, 3))}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: Iterable[int]) -> str:
    kind = dict.fromkeys(numbers, ' class="n"')
    head = "".join(f"<th{kind.get(i, '')}>{escape(name)}</th>" for i, name in enumerate(heads))
    body = "".join(
        f"<tr>{''.join(f'<td{kind.get(i, str())}>{cell}</td>' for i, cell in enumerate(row))}</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _chart(figure: go.Figure, name: str) -> str:
    # The last digits depend on how many threads have computed them; a study has one page.
    plain = json.loads(figure.to_json(), parse_float=lambda spelled: float(f"{float(spelled):.9g}"))
    config = {"displaylogo": False, "responsive": True}
    page = go.Figure(plain).to_html(
        full_html=False, include_plotlyjs=False, div_id=name, config=config
    )
    return str(page)


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _paragraphs(lines: Sequence[str]) -> str:
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _sentence(verdict: Verdict) -> str:
    meaning = words.meaning(verdict)
    return f"{meaning[0].upper()}{meaning[1:]}."
