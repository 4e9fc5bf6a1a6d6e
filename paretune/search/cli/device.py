"""`paretune device`: measuring devices."""

from pathlib import Path
from typing import Annotated

import typer

from paretune.search.cli.profile import profile

device = typer.Typer(
    no_args_is_help=True,
    help="Measuring devices: boards and servers, and what they gain from.",
)
device.command()(profile)

_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@device.command(context_settings=_PASSED_ON)
def serve(context: typer.Context) -> None:
    """Turn this machine into a measuring device (`--help` for more)."""
    from paretune.evaluators.devices.agent.main import main

    raise typer.Exit(main(["serve", *context.args], prog="paretune device"))


@device.command()
def bundle(
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path(
        "paretune-device.pyz"
    ),
) -> None:
    """Write the agent as one file, for a device without Paretune.

    The device needs Python 3.11 or newer, numpy and a runtime such as onnxruntime.

    Examples:

        paretune device bundle -o paretune-device.pyz

        scp paretune-device.pyz pi@board:

        ssh pi@board python3 paretune-device.pyz serve --help
    """
    from paretune.evaluators.devices.bundle import write_bundle

    size = write_bundle(output)
    typer.echo(f"{output} ({size / 2**20:.1f} MiB); on the device: python3 {output.name} serve")
