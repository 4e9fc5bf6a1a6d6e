"""Arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

ConfigArgument = Annotated[
    Path,
    typer.Argument(metavar="CONFIG", help="The YAML file that says what to search."),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The front of this device: by accuracy, size and what was measured there.",
    ),
]
StudyArgument = Annotated[
    Path,
    typer.Argument(
        metavar="STUDY", help="The output folder of a search, or the config file that made it."
    ),
]
