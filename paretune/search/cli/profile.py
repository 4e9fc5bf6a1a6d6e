"""`paretune device profile`: what a device does with each choice."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from paretune.search.profiling.profile import Profile, Row


def profile(
    device: Annotated[
        str, typer.Argument(help="`local`, `http://host:port` or `ssh://user@host`.")
    ] = "local",
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path(
        "profile.json"
    ),
    runtime: Annotated[str, typer.Option(help="That runs the probes.")] = "onnxruntime",
    threads: Annotated[int, typer.Option(min=1, help="That a run may use.")] = 1,
) -> None:
    """Time every choice on small probe layers: which are faster there, which only smaller?

    A search that is given the profile offers a layer what this device gains from, and what is
    merely stored smaller only if a size is among its objectives or constraints:

        devices: {pi: {url: "http://pi:8571", profile: pi.json}}

    Examples:

        paretune device profile -o here.json

        paretune device profile ssh://me@board -o board.json --threads 4
    """
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from paretune.errors import UserError
    from paretune.files import write_whole
    from paretune.search.device_section import DeviceSection
    from paretune.search.profiling.measuring import profile_device
    from paretune.search.store import require_writable

    if output.is_dir():
        raise UserError(f"--output: '{output}' is a folder; name the file to write")
    require_writable(output.parent)
    spec = DeviceSection.read(device, {"runtime": runtime, "threads": threads}).spec(device)
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task("probes", total=None)

        def tell(row: "Row", done: int, total: int) -> None:
            text = f"{row.probe}: {row.choice}"
            progress.update(task, completed=done, total=total, description=text)

        found = profile_device(spec, tell)
    write_whole(output, found.to_json().encode())
    _print(found)
    typer.echo(f"written to {output}")


def _print(profile: "Profile") -> None:
    from rich import box
    from rich.table import Table

    from paretune.search.cli.console import make_console

    title = "Latency relative to the same layers untouched"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("layers", no_wrap=True)
    table.add_column("choice", no_wrap=True)
    table.add_column("ratio", justify="right", no_wrap=True)
    table.add_column("95% interval", justify="right", no_wrap=True)
    table.add_column("refused", overflow="fold")
    for row in profile.rows:
        interval = "" if row.low is None else f"{row.low:.2f} to {row.high:.2f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        table.add_row(row.probe, row.choice, ratio, interval, row.refused)
    console = make_console()
    console.print(table)
    for support, choices in profile.by_support().items():
        console.print(f"{support}: {', '.join(choices) or 'nothing'}")
    console.print(f"channel counts: multiples of {profile.capabilities.channel_grain}")
