"""`paretune sync`: rebuild a study's records in MLflow."""

from typing import Annotated

import typer

from paretune.search.cli.arguments import StudyArgument


def sync(
    study: StudyArgument,
    uri: Annotated[str | None, typer.Option(help="Tracking URI instead of the config's.")] = None,
    models: Annotated[
        bool, typer.Option(help="Also make and log the front's models that are missing.")
    ] = True,
) -> None:
    """Write all of a study's records to MLflow again, without duplicates.

    For searches that ran without MLflow, or whose server was away.

    Examples:

        paretune sync runs/digits

        paretune sync runs/digits --uri http://mlflow.example:5000 --no-models
    """
    from paretune.search.finding import find_study
    from paretune.search.study import Study
    from paretune.search.tracking import sync as write_records

    opened = Study(find_study(study))
    section = opened.config().tracking
    if uri is not None:
        section = section.model_copy(update={"uri": uri})
    if models:
        with opened.workbench(devices=False) as bench:
            run = write_records(opened.store, section, bench.apply)
    else:
        run = write_records(opened.store, section)
    typer.echo(f"MLflow run {run} at {section.uri}")
