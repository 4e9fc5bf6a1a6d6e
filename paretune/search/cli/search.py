"""`paretune search`: search, or go on with a search."""

from typing import Annotated

import typer

from paretune.search.cli.arguments import ConfigArgument

SIGNALLED = 128
"""The exit code of an aborted search, plus the number of the signal, as shells have it."""


def search(
    config: ConfigArgument,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME|TRIALS",
            help="Instead of the config's budget: a time (8h, 90m), a number of trials (500), or"
            " both (8h,500). Earlier runs of the study count.",
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Instead of the config's number of trials.")
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(help="guided, nsga2, nsga3, tpe, gp, random, qmc, brute, or a plugin's."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the sampler.")] = None,
    racing: Annotated[
        bool | None,
        typer.Option(
            help="Stop trials as soon as a part of the data shows that they are off the front."
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="local:N|tcp://HOST:PORT",
            help="Measure what needs no device with N workers on this machine, or with those of a"
            " Dask scheduler.",
        ),
    ] = None,
    output: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="The study's folder.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Keep the study in this PostgreSQL database: postgresql://user@host:port/database."
            " A password is better in ~/.pgpass or PGPASSWORD.",
        ),
    ] = None,
    no_mlflow: Annotated[
        bool,
        typer.Option("--no-mlflow", help="Write nothing to MLflow; `paretune sync` can later."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Search for the best trade-offs, confirm them, and report.

    Every trial is on the disk as soon as it is measured: Ctrl-C ends the search phase and confirms
    what was found, a second Ctrl-C aborts at once, and the same command goes on where it stopped.
    SIGTERM does the same as Ctrl-C; when the terminal is closed (SIGHUP), the search ends cleanly.

    Examples:

        paretune search digits.yaml

        paretune search digits.yaml --budget 8h,2000

        paretune search digits.yaml --trials 50 --sampler tpe --output runs/tpe --no-mlflow

        paretune search digits.yaml --cluster local:4
    """
    from paretune.search.api import run_search
    from paretune.search.cli.console import make_console
    from paretune.search.cli.overrides import overridden
    from paretune.search.config import load_config
    from paretune.search.confirm import left_over
    from paretune.search.interrupt import Aborted, aborting
    from paretune.search.terminal import print_front

    loaded = overridden(
        load_config(config),
        budget=budget,
        trials=trials,
        sampler=sampler,
        seed=seed,
        racing=racing,
        cluster=cluster,
        output=output,
        storage=storage,
        no_mlflow=no_mlflow,
    )
    console = make_console()
    try:
        with aborting():
            study = run_search(loaded, console=None if quiet else console)
    except Aborted as abort:
        typer.secho(
            f"aborted; what was measured is in {loaded.output}, the same command goes on", err=True
        )
        raise typer.Exit(SIGNALLED + abort.number) from None
    print_front(study.info, study.store.trials(), console)
    if study.outcome is not None and not quiet:
        console.print(f"The search ended because {_because(study.outcome.reason)}.")
        left = left_over(study.info, study.store.trials())
        if left:
            console.print(left, highlight=False)
        if left or study.outcome.interrupted:
            console.print("The same command goes on with it.")
        console.print(f"Study: {loaded.output}", highlight=False, soft_wrap=True)
        for device in study.devices:
            console.print(
                f"Front of {device}: paretune front {loaded.output} --device {device}",
                highlight=False,
                soft_wrap=True,
            )


def _because(reason: str) -> str:
    return "you stopped it" if reason == "interrupted" else reason
