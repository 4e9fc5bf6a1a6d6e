"""The `paretune` command.

Nothing heavy is imported before a command runs: `paretune --help` answers at once.
"""

from typing import Any

import typer
from typer.core import TyperGroup

from paretune.errors import ParetuneError, UserError
from paretune.faults import machine_error
from paretune.files import own_temporary_files
from paretune.search.cli.device import device
from paretune.search.cli.explain import explain
from paretune.search.cli.front import front
from paretune.search.cli.measure import measure
from paretune.search.cli.pick import pick
from paretune.search.cli.search import search
from paretune.search.cli.space import space
from paretune.search.cli.sync import sync
from paretune.search.cli.worker import worker

NOTHING = 1
USER_ERROR = 2


class _Commands(TyperGroup):
    """A user's mistake or a fault of the machine is one message and exit code 2.

    Nothing found is exit code 1. A bug shows its traceback.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            with own_temporary_files():
                return super().invoke(ctx)
        except Exception as error:
            if isinstance(shown := machine_error(error) or error, UserError):
                typer.secho(f"error: {shown}", fg=typer.colors.RED, err=True)
                raise typer.Exit(USER_ERROR) from None
            if isinstance(shown, ParetuneError):
                typer.secho(str(shown), fg=typer.colors.RED, err=True)
                raise typer.Exit(NOTHING) from None
            raise


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Find the Pareto front of compressed versions of a neural network, on measured latency.

A typical evening and morning:

    paretune space digits.yaml

    paretune search digits.yaml --budget 8h

    paretune front digits.yaml

    paretune explain digits.yaml

    paretune pick digits.yaml --max-drop 0.01 --minimize latency_ms
""",
)
app.command()(search)
app.command()(space)
app.command()(front)
app.command()(explain)
app.command()(pick)
app.command()(sync)
app.command()(worker)
app.command()(measure)
app.add_typer(device, name="device")


def run() -> None:
    """The entry point."""
    app()
