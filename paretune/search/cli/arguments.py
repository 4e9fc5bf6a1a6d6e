"""Arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

ConfigArgument = Annotated[
    Path,
    typer.Argument(metavar="CONFIG", help="The YAML file that says what to search."),
]
StudyArgument = Annotated[
    Path,
    typer.Argument(
        metavar="STUDY", help="The output folder of a search, or the config file that made it."
    ),
]
