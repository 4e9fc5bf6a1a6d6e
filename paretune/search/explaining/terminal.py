"""What was learned, in the terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from paretune.evaluators import Metric
from paretune.search import text
from paretune.search.explaining import naming, words
from paretune.search.explaining.explanation import ChoiceEffect, Explanation
from paretune.search.explaining.verdict import Verdict

ROWS = 40
MISJUDGED = 3


def print_explanation(found: Explanation, console: Console | None = None) -> None:
    """Print tables and sentences; of a large network the choices that matter most."""
    console = console or Console()
    if found.untold:
        console.print(f"{found.name}: {found.untold}.", soft_wrap=True)
        return
    console.print(f"{found.name}: what the search learned", style="italic")
    _say(console, "", [words.headline(found), *words.notes(found)])
    if found.objectives:
        console.print(choices_view(found))
        _say(console, "Protect: the largest loss of quality in each layer", words.protect(found))
        for verdict in (Verdict.FREE, Verdict.WASTE):
            title = f"{verdict.value.capitalize()}: {words.meaning(verdict)}"
            _say(console, title, words.verdicts(found, verdict))
        _say(console, "Interactions", words.interactions(found))
    title = "How far to trust this: trials predicted from trials that were left out"
    _say(console, title, [words.trust(doubt) for doubt in found.doubts])
    if any(doubt.predictions.misjudged(1) for doubt in found.doubts):
        console.print(misjudged_view(found))


def choices_view(found: Explanation) -> Table:
    """A row a choice, in the order of the network."""
    shown = _largest(found)
    left = len(found.choices) - len(shown)
    table = Table(
        box=box.SIMPLE_HEAD,
        caption_justify="left",
        caption=f"The {len(shown)} largest of {len(found.choices)}; --json and --html give all."
        if left
        else None,
    )
    scales = {metric.name: naming.scale(metric, found.choices) for metric in found.objectives}
    longest = max(len(naming.layers(chosen.decision)) for chosen in shown)
    table.add_column("layer", overflow="fold", min_width=min(longest, 40))
    table.add_column("choice", overflow="fold")
    table.add_column("trials", justify="right")
    for metric in found.objectives:
        heading = text.label(metric, scales[metric.name].unit).replace("@", " @")
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", overflow="fold")
    last = ""
    for chosen in shown:
        name = naming.layers(chosen.decision)
        done = naming.done(chosen)
        cells = [_effect(chosen, metric, scales[metric.name]) for metric in found.objectives]
        verdict = "" if chosen.verdict is Verdict.UNCLEAR else chosen.verdict.value
        table.add_row("" if name == last else name, done, str(chosen.trials), *cells, verdict)
        last = name
    return table


def misjudged_view(found: Explanation) -> Table:
    """The trials that the others predict worst."""
    table = Table(box=box.SIMPLE_HEAD, title="Misjudged most", title_justify="left")
    table.add_column("trial", justify="right")
    table.add_column("objective", overflow="fold")
    table.add_column("measured", justify="right")
    table.add_column("predicted", justify="right")
    table.add_column("policy", overflow="fold")
    for doubt in found.doubts:
        shown = text.scale(doubt.metric, doubt.predictions.measured)
        for row in doubt.predictions.misjudged(MISJUDGED):
            trial = found.trials[row]
            table.add_row(
                str(trial.number),
                text.label(doubt.metric, shown.unit),
                *words.prediction(doubt, row, shown),
                text.summary(trial.policy),
            )
    return table


def _effect(chosen: ChoiceEffect, metric: Metric, shown: text.Scale) -> Text:
    effect = chosen.effects[metric.name]
    style = "bold green" if effect.better else "bold red" if effect.worse else "dim"
    return Text(naming.amount(effect, shown), style=style)


def _largest(found: Explanation) -> list[ChoiceEffect]:
    """The choices with the largest effects, real ones before others, in the network's order."""
    if len(found.choices) <= ROWS:
        return list(found.choices)
    largest = {
        metric.name: max(abs(c.effects[metric.name].value) for c in found.choices) or 1.0
        for metric in found.objectives
    }

    def weight(row: int) -> tuple[bool, float]:
        those = found.choices[row].effects.items()
        return max((e.real, abs(e.value) / largest[name]) for name, e in those)

    kept = sorted(range(len(found.choices)), key=weight, reverse=True)[:ROWS]
    return [found.choices[row] for row in sorted(kept)]


def _say(console: Console, title: str, lines: Sequence[str]) -> None:
    if title:
        console.print(title, style="bold", highlight=False)
    for line in lines:
        console.print(Padding(Text(line), (0, 0, 0, 2 if title else 0), expand=False))
    console.print()
