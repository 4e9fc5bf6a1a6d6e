"""`paretune front`: the table of trade-offs."""

from typing import Annotated

import typer

from paretune.search.cli.arguments import DeviceOption, StudyArgument


def front(
    study: StudyArgument,
    device: DeviceOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, one object a member.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV.")] = False,
) -> None:
    """Print the front: the trials that no other trial dominates.

    It may be looked at while the search is running. Exit code 1 if there is no front yet.

    Examples:

        paretune front digits.yaml

        paretune front digits.yaml --device pi

        paretune front runs/digits --csv > front.csv
    """
    from paretune.errors import UserError
    from paretune.garbage import no_collecting
    from paretune.search.cli.console import make_console
    from paretune.search.finding import find_study
    from paretune.search.store import StudyStore
    from paretune.search.table import front_table, to_json
    from paretune.search.terminal import print_front
    from paretune.search.view import view

    if as_json and as_csv:
        raise UserError("--json and --csv exclude each other")
    with no_collecting():
        store = StudyStore.open(find_study(study))
        info, trials = view(store.info, store.trials(), device)
        if as_json or as_csv:
            table = front_table(info, trials)
            size = len(table)
            typer.echo(to_json(table) if as_json else table.to_csv(index=False), nl=as_json)
        else:
            size = print_front(info, trials, make_console())
    if not size:
        raise typer.Exit(1)
