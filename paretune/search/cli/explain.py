"""`paretune explain`: what the search learned about the layers."""

from pathlib import Path
from typing import Annotated

import typer

from paretune.search.cli.arguments import DeviceOption, StudyArgument


def explain(
    study: StudyArgument,
    device: DeviceOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as one JSON object.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page with figures there instead."),
    ] = None,
) -> None:
    """Tell what the search learned: which layers to protect, which are free, which interact.

    For every choice that trials differ in: what it costs in accuracy and gains in latency, against
    the layer left alone and averaged over policies like those of the front, with a 95% interval.
    Then the pairs of neighbouring layers whose effects do not add up, and how well trials are
    predicted from other trials: what the tables say is worth no more than that.

    It needs the stored trials alone, no model and no data, and may be used while the search is
    running. A finished search has the page already, as explain.html in the study's folder and in
    MLflow. Exit code 1 if there are too few trials to tell.

    Examples:

        paretune explain digits.yaml

        paretune explain runs/digits --html digits.html

        paretune explain runs/digits --json | jq '.choices[] | select(.verdict == "free") | .words'
    """
    from paretune.errors import UserError
    from paretune.search.cli.console import make_console
    from paretune.search.explaining import explain as learn
    from paretune.search.explaining.spelling import to_json
    from paretune.search.explaining.terminal import print_explanation
    from paretune.search.finding import find_study
    from paretune.search.store import StudyStore
    from paretune.search.view import view

    if as_json and html is not None:
        raise UserError("--json and --html exclude each other")
    store = StudyStore.open(find_study(study))
    found = learn(*view(store.info, store.trials(), device))
    if as_json:
        typer.echo(to_json(found))
    elif html is not None:
        from paretune.search.figures import explain_html

        try:
            html.write_text(explain_html(found), encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write the page '{html}': {error.strerror}") from None
        typer.echo(f"the page is in {html}")
    else:
        print_explanation(found, make_console())
    if found.untold:
        raise typer.Exit(1)
