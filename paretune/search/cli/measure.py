"""`paretune measure`: how fast models are, by the protocol of a search but without one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer


def measure(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL.onnx...", help="ONNX files.")],
    reference: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Compare with this model instead of the first."),
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npz", help="Arrays by input name, instead of made-up ones."),
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=1,128", help="Shape of a made-up input; may be repeated."),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Samples a run, for made-up inputs; 1 by default.")
    ] = None,
    runtime: Annotated[str, typer.Option(help="onnxruntime, openvino, or a plugin's.")] = (
        "onnxruntime"
    ),
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Of the runtime; may be repeated."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="That a run may use.")] = 1,
    cpus: Annotated[
        str | None, typer.Option(metavar="0,1", help="Stay on these; the last ones by default.")
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="URL", help="local, http(s)://host:port or ssh://user@host.")
    ] = "local",
    target: Annotated[
        float,
        typer.Option(min=0.0001, max=0.5, help="Stop at this half width of the ratio's interval."),
    ] = 0.01,
    max_seconds: Annotated[
        float | None,
        typer.Option(min=0.01, help="Of sampling a model; what suits it by default."),
    ] = None,
    also: Annotated[
        str | None, typer.Option(metavar="load,memory,energy", help="What else to measure.")
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Measure all models so often.")] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Everything as JSON, raw samples included.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the samples into this file.")
    ] = None,
) -> None:
    """Measure the latency of ONNX models, the others in turn with the first.

    A process of its own runs them, pinned to CPUs. The models alternate in blocks until the
    interval of their ratio is narrow enough; blocks that something disturbed are taken again.
    Figures are medians with 95% intervals. Exit code 1 if a model could not be measured.

    Without --inputs, floats are random and whole numbers are all 1: speed seldom depends on them.

    Examples:

        paretune measure model.onnx

        paretune measure fp32.onnx int8.onnx --also load,memory --plot samples.png

        paretune measure fp32.onnx int8.onnx --device ssh://me@board --threads 4

        paretune measure bert.onnx --shape input_ids=1,128 --shape attention_mask=1,128 --json

        paretune measure model.onnx --runtime openvino --option precision=bf16
    """
    import json

    from paretune.evaluators.comparison import read_inputs
    from paretune.search.cli.console import make_console
    from paretune.search.comparison_view import comparison_view
    from paretune.search.measure import measure as run

    if plot is not None:
        _check_picture(plot)
    with _progress() as tell:
        found = run(
            models,
            reference=reference,
            inputs=None if inputs is None else read_inputs(inputs),
            batch=batch,
            shapes=_shapes(shape or ()),
            device=device,
            runtime=runtime,
            runtime_options=_options(option or ()),
            threads=threads,
            cpus=None if cpus is None else _numbers(cpus, "--cpus", "0,1"),
            target=target,
            max_seconds=max_seconds,
            also=[] if also is None else [name.strip() for name in also.split(",")],
            repeat=repeat,
            tell=tell,
        )
    if plot is not None:
        from paretune.search.figures.samples_png import draw_samples

        draw_samples(found).savefig(plot)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
    else:
        console = make_console()
        console.print(comparison_view(found, made=inputs is None))
        if plot is not None:
            console.print(f"samples: {plot}", highlight=False, soft_wrap=True)
    if any(row.error for row in found.rows):
        raise typer.Exit(1)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Shows on standard error what is being done, if that is a terminal."""
    from rich.console import Console

    with Console(stderr=True).status("measuring") as status:
        yield status.update


def _check_picture(path: Path) -> None:
    from paretune.errors import UserError

    if path.suffix not in (known := (".png", ".svg", ".pdf")):
        raise UserError(f"--plot: '{path}' must end in {', '.join(known)}")
    if not path.absolute().parent.is_dir():
        raise UserError(f"--plot: no folder '{path.parent}'")


def _shapes(texts: Sequence[str]) -> dict[str, list[int]]:
    return {
        name: _numbers(value, f"--shape {name}", "--shape ids=1,128")
        for name, value in _pairs(texts, "--shape", "ids=1,128")
    }


def _options(texts: Sequence[str]) -> dict[str, Any]:
    import yaml

    from paretune.errors import UserError

    options = {}
    for name, value in _pairs(texts, "--option", "precision=bf16"):
        try:
            options[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"cannot read --option '{name}={value}': {error}") from None
    return options


def _pairs(texts: Sequence[str], what: str, example: str) -> Iterator[tuple[str, str]]:
    from paretune.errors import UserError

    for text in texts:
        # Names of tensors may hold '=' themselves.
        name, equals, value = text.rpartition("=")
        if not (name and equals and value):
            raise UserError(f"cannot read {what} '{text}'; allowed are spellings like {example}")
        yield name, value


def _numbers(text: str, what: str, example: str) -> list[int]:
    from paretune.errors import UserError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(
            f"cannot read {what} '{text}'; allowed are spellings like {example}"
        ) from None
