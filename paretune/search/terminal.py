"""The front as a table in the terminal."""

import math
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from paretune.evaluators import Measurement, Metric
from paretune.search import text
from paretune.search.certainty import EXPLAINED
from paretune.search.front import front
from paretune.search.info import StudyInfo
from paretune.search.landmark import landmarks
from paretune.search.misses import misses
from paretune.search.racing import summary
from paretune.search.standing import standings
from paretune.search.table import has_ratio, ordered, ratio
from paretune.search.trial import Trial
from paretune.search.turnover import turnover


def print_front(info: StudyInfo, trials: Sequence[Trial], console: Console | None = None) -> int:
    """Print the front with intervals, and below it fp32 and uniform int8 for comparison.

    Where there is no front, it tells how near the trials come to the constraints.

    Last lines tell how many members the front has lost and gained by confirming, and what racing
    has saved.

    Returns:
        the size of the front.
    """
    console = console or Console()
    members = front(trials, info.objectives)
    if not members:
        console.print(f"{info.name}: no trial satisfies the constraints yet, so there is no front.")
        if told := misses(info, trials):
            console.print(told, highlight=False)
        return 0
    console.print(front_view(info, trials, members))
    for told in filter(None, (str(turnover(info, trials)), summary(trials))):
        console.print(told, highlight=False)
    return len(members)


def front_view(info: StudyInfo, trials: Sequence[Trial], members: Sequence[Trial]) -> Table:
    """The table that `print_front` prints.

    Args:
        members: of the front, in the order to show them in.
    """
    marks = landmarks(trials)
    on_front = {member.number for member in members}
    below = {name: trial for name, trial in marks.items() if trial.number not in on_front}
    rows = [*members, *below.values()]
    scales = {
        metric.name: text.scale(metric, (row.figures[metric.name].value for row in rows))
        for metric in ordered(info)
    }
    standing = standings(info, trials, rows)
    tested = [metric for metric in info.objectives if _depends_on_split(metric, rows)]

    table = Table(
        title=f"{info.name}: front of {len(members)} out of {len(trials)} trials",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        caption=_caption(info, rows, tested),
    )
    table.add_column("trial", justify="right", no_wrap=True)
    for metric in ordered(info):
        style = "bold" if metric in info.objectives else ""
        heading = _heading(metric, scales[metric.name])
        table.add_column(heading, justify="right", style=style, max_width=18, overflow="fold")
        if has_ratio(info, metric):
            table.add_column("× fp32", justify="right", no_wrap=True)
    for metric in tested:
        heading = f"test {_heading(metric, scales[metric.name])}"
        table.add_column(heading, justify="right", max_width=18, overflow="fold")
    for name in marks:
        table.add_column(f"vs {name.removeprefix('uniform ')}", no_wrap=True)
    if tied := any(standing[member.number].ties for member in members):
        table.add_column("ties with", max_width=9, overflow="fold")
    table.add_column("policy", min_width=16, overflow="fold")

    named = {trial.number: name for name, trial in marks.items()}
    for row in rows:
        table.add_row(
            f"{row.number}{'' if row.confirmed else '*'}",
            *_cells(info, row, marks.get("fp32"), scales),
            *(_cell(row.test, metric, scales[metric.name]) for metric in tested),
            *(str(standing[row.number].versus.get(name, "")) for name in marks),
            *([", ".join(str(n) for n in standing[row.number].ties if n in on_front)] * tied),
            named.get(row.number) or text.summary(row.policy),
            style="" if row.number in on_front else "dim",
            end_section=row is members[-1],
        )
    return table


def _heading(metric: Metric, shown: text.Scale) -> str:
    """The label with a place to break it."""
    return text.label(metric, shown.unit).replace("@", " @")


def _cells(
    info: StudyInfo, row: Trial, compared: Trial | None, scales: Mapping[str, text.Scale]
) -> list[str]:
    cells = []
    for metric in ordered(info):
        cells.append(_cell(row.figures, metric, scales[metric.name]))
        if has_ratio(info, metric):
            value = ratio(row, compared, metric)
            cells.append("" if math.isnan(value) else f"{value:.2f}")
    return cells


def _depends_on_split(metric: Metric, rows: Sequence[Trial]) -> bool:
    """Whether the test figures say anything new: an exact one, such as a file's size, does not."""
    return any(metric.name in row.test and row.test[metric.name].low is not None for row in rows)


def _cell(measured: Mapping[str, Measurement], metric: Metric, shown: text.Scale) -> str:
    return text.figure(measured[metric.name], shown) if metric.name in measured else ""


def _caption(info: StudyInfo, rows: Sequence[Trial], tested: Sequence[Metric]) -> str:
    note = "* as measured during the search, not confirmed: winners look better than they are."
    if all(row.confirmed for row in rows):
        note = "Figures: measured again on the whole search split after the search."
    figures = [row.figures[metric.name] for row in rows for metric in ordered(info)]
    figures += [row.test[m.name] for row in rows for m in tested if m.name in row.test]
    known = "; ".join(f"{relation}: {meaning}" for relation, meaning in EXPLAINED.items())
    return "\n".join(filter(None, (note, f"{known}.", text.doubts(figures))))
