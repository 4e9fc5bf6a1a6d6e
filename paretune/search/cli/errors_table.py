"""What each choice costs each layer, as a table."""

from collections.abc import Mapping

from rich import box
from rich.table import Table

from paretune.search.preparing import Errors
from paretune.spaces import Choice

_SENSITIVE = 0.01


def errors_table(errors: Errors) -> Table:
    """Rows are layers, columns the choices in the order of the space; dim what is harmless."""
    columns = dict.fromkeys(c for found in errors.values() for c in found if c != Choice())
    table = Table(
        title="Error of each layer's output on the calibration data, relative to the output",
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    table.add_column("layer", overflow="fold")
    for choice in columns:
        table.add_column(str(choice), justify="right", no_wrap=True)
    for layer, found in errors.items():
        table.add_row(layer, *(_cell(found, choice) for choice in columns))
    return table


def _cell(found: Mapping[Choice, float], choice: Choice) -> str:
    if choice not in found:
        return ""
    text = f"{found[choice]:.1e}"
    return text if found[choice] >= _SENSITIVE else f"[dim]{text}[/dim]"
