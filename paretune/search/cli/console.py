"""The console that tables are printed on."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 160


def make_console() -> "Console":
    """As wide as the terminal; a file or a pipe has no width, and gets wide tables."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(width=WIDE)
    return console
