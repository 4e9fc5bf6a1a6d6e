"""`paretune worker`: lend this machine to a search."""

from typing import Annotated

import typer


def worker(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY|tcp://HOST:PORT",
            help="The output folder of a search that runs, the config file that made it, or the"
            " address of its Dask scheduler.",
        ),
    ],
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="Workers, each on cores of its own; one on each core by default."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Begins the workers' names in Dask.")
    ] = None,
) -> None:
    """Work for a search: build candidates and measure what needs no device.

    Workers may come and go while the search runs; what one is at when it ends, others do. Ends with
    Ctrl-C, or when the scheduler has gone. Every machine needs the same versions of Paretune, ONNX
    and ONNX Runtime; the model and the data come from the search.

    Examples:

        paretune worker tcp://server:8786

        paretune worker runs/digits --processes 2
    """
    from paretune.search.cluster.joining import join
    from paretune.search.interrupt import Aborted, aborting

    try:
        with aborting():
            join(study, processes, name, lambda text: typer.echo(text, err=True))
    except Aborted:
        typer.echo("the workers have left; others go on with their work", err=True)
