"""`paretune pick`: the front member that a rule selects, exported and verified."""

from pathlib import Path
from typing import Annotated

import typer

from paretune.search.cli.arguments import DeviceOption, StudyArgument


def pick(
    study: StudyArgument,
    max_drop: Annotated[
        float | None,
        typer.Option(help="Lose at most this much accuracy (0.01 is one point); with --minimize."),
    ] = None,
    minimize: Annotated[
        str | None,
        typer.Option(metavar="METRIC", help="Of those left by --max-drop, the least of this."),
    ] = None,
    knee: Annotated[bool, typer.Option("--knee", help="The knee point of the front.")] = False,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC=W,...", help="The best weighted sum of figures normalized on the front."
        ),
    ] = None,
    trial: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="This trial, on the front or not.")
    ] = None,
    device: DeviceOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Instead of picks/trial-N (picks/DEVICE-trial-N) in the study's folder.",
        ),
    ] = None,
    alias: Annotated[
        str | None,
        typer.Option(help="Of the version in MLflow's registry; picked, or picked-DEVICE."),
    ] = None,
    no_mlflow: Annotated[bool, typer.Option("--no-mlflow", help="Register nothing.")] = False,
) -> None:
    """Pick one front member: write model.onnx, policy.json and report.md, verified.

    The written model is loaded afresh and must repeat its recorded figures to the last digit; what
    was measured on devices is not taken again. Give exactly one rule. Exit code 1, and the nearest
    member, if none satisfies it.

    Examples:

        paretune pick digits.yaml --max-drop 0.01 --minimize latency_ms

        paretune pick digits.yaml --device pi --max-drop 0.01 --minimize latency_ms

        paretune pick runs/digits --knee --output shipped

        paretune pick runs/digits --weights accuracy=1,latency_ms=0.5

        paretune pick runs/digits --trial 17 --no-mlflow
    """
    from paretune.search.finding import find_study
    from paretune.search.study import Study

    picked = Study(find_study(study)).pick(
        max_drop=max_drop,
        minimize=minimize,
        knee=knee,
        weights=None if weights is None else parse_weights(weights),
        trial=trial,
        device=device,
        output=output,
        register=not no_mlflow,
        alias=alias,
    )
    typer.echo(f"trial {picked.trial.number} is in {picked.folder}")
    for name in picked.repeated:
        typer.echo(f"  repeats {name} = {picked.trial.figures[name].value!r}")
    if picked.registered is not None:
        from paretune.search.tracking import default_alias

        name, version = picked.registered
        alias = alias or default_alias(device)
        typer.echo(f"  registered in MLflow as {name}, version {version}, alias {alias}")


def parse_weights(text: str) -> dict[str, float]:
    """Read `accuracy=1,latency_ms=0.5`.

    Raises:
        UserError: the text is something else.
    """
    from paretune.errors import UserError

    weights: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            weights[name.strip()] = float(value)
        except ValueError:
            raise UserError(
                f"cannot read the weights '{text}'; allowed are spellings like"
                " accuracy=1,latency_ms=0.5"
            ) from None
    return weights
