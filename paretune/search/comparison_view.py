"""A comparison as a table in the terminal."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from statistics import median
from typing import Any

from rich import box
from rich.table import Table

from paretune.evaluators import Metric
from paretune.evaluators.comparison import Comparison, Row
from paretune.search import text

_NAME_WIDTH = 16
_FLAGS = {
    "disturbed": "something else ran meanwhile",
    "cold": "the end of the warm-up was not seen",
}


def comparison_view(comparison: Comparison, *, made: bool) -> Table:
    """Figures with their intervals, and below them the conditions.

    Args:
        made: the inputs are made up.
    """
    rows = comparison.rows
    scales = {
        metric.name: text.scale(
            metric, [row.figures[metric.name].value for row in rows if metric.name in row.figures]
        )
        for metric in comparison.metrics
    }
    rounds = max(row.round for row in rows) > 1
    table = Table(
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        caption=_caption(comparison, made=made),
    )
    longest = max(len(name) for name in comparison.names.values())
    table.add_column("model", overflow="fold", min_width=min(longest, _NAME_WIDTH))
    if rounds:
        table.add_column("round", justify="right")
    for metric in comparison.metrics:
        heading = text.label(metric, scales[metric.name].unit)
        table.add_column(heading, justify="right", max_width=18, overflow="fold")
    table.add_column("blocks", justify="right")
    table.add_column("flags", overflow="fold")
    for row in rows:
        cells = [comparison.names[row.model], *([str(row.round)] if rounds else [])]
        if row.error:
            cells += [""] * (len(comparison.metrics) + 1)
            table.add_row(*cells, "failed")
        else:
            cells += [_cell(row, metric, scales[metric.name]) for metric in comparison.metrics]
            table.add_row(*cells, str(row.samples["latency"]["count"]), ", ".join(row.flags))
    return table


def _cell(row: Row, metric: Metric, scale: text.Scale) -> str:
    found = row.figures.get(metric.name)
    # The flags have a column of their own.
    return "" if found is None else text.figure(replace(found, flags=()), scale)


def _caption(comparison: Comparison, *, made: bool) -> str:
    lines = [_conditions(comparison.conditions)]
    inputs = ", ".join(f"{name} {kind}" for name, kind in comparison.inputs.items())
    lines.append(f"inputs{', made up' if made else ''}: {inputs}")
    if any(metric.name == "latency_ratio" for metric in comparison.metrics):
        lines.append(f"ratio: to {comparison.names[comparison.reference]}")
    lines += _spreads(comparison)
    found = {flag for row in comparison.rows for flag in row.flags}
    lines += [f"{flag}: {_FLAGS.get(flag, 'see the samples')}" for flag in sorted(found)]
    failed = {comparison.names[row.model]: row.error for row in comparison.rows if row.error}
    lines += [f"{name} failed: {error}" for name, error in failed.items()]
    return "\n".join(lines)


def _spreads(comparison: Comparison) -> Iterator[str]:
    """How far the rounds are from each other; nothing where there is one."""
    for model, name in comparison.names.items():
        measured = [row.figures for row in comparison.rows if row.model == model and row.figures]
        if len(measured) < 2:
            continue
        metric = "latency_ms" if model == comparison.reference else "latency_ratio"
        values = [figures[metric].value for figures in measured]
        spread = (max(values) - min(values)) / median(values)
        yield f"{name}: {metric} of {len(values)} rounds spreads by {spread:.1%}"


def _conditions(conditions: Mapping[str, Any]) -> str:
    """Those that people ask for first; the others are in the JSON."""
    threads = conditions["threads"]
    parts = [
        f"{conditions['host']}, {conditions['cpu']}",
        f"{conditions['runtime']} {conditions['runtime_version']}",
        f"{threads} thread{'s' if threads > 1 else ''}",
    ]
    if cpus := conditions.get("cpus"):
        parts[-1] += f" on CPU {','.join(map(str, cpus))}"
    if governor := conditions.get("governor"):
        parts.append(f"governor {governor}")
    return "; ".join([*parts, f"batch {conditions['batch']}"])
