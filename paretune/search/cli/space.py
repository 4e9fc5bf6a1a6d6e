"""`paretune space`: what may be done to the model."""

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paretune.search.cli.arguments import ConfigArgument

if TYPE_CHECKING:
    from paretune.spaces import Space


def space(
    config: ConfigArgument,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    errors: Annotated[
        bool,
        typer.Option(
            "--errors",
            help="Compress every layer under every choice, and show by how much its output changes"
            " on the calibration data: which layers are sensitive to what, before any trial.",
        ),
    ] = False,
) -> None:
    """Show the layers, the groups that must agree, the choices, and the size of the space.

    Layer names are what `space.layers` in the config narrows, by name or by `re:` pattern.

    Examples:

        paretune space digits.yaml

        paretune space digits.yaml --errors

        paretune space digits.yaml --json | jq .size
    """
    from paretune.search.config import load_config
    from paretune.search.store import require_writable
    from paretune.search.workbench import load_data, prepare

    loaded = load_config(config)
    require_writable(loaded.output)
    prepared, found = prepare(loaded, load_data(loaded))
    errors_found = None
    if errors:
        from paretune.search.preparing import compress_choices

        errors_found = compress_choices(prepared, found)
    if as_json:
        import json

        data = _as_json(found)
        if errors_found is not None:
            data["errors"] = {
                layer: {str(choice): error for choice, error in row.items()}
                for layer, row in errors_found.items()
            }
        typer.echo(json.dumps(data, indent=2))
        return
    _print(found)
    if errors_found is not None:
        from paretune.search.cli.console import make_console
        from paretune.search.cli.errors_table import errors_table

        make_console().print(errors_table(errors_found))


def _as_json(space: "Space") -> dict[str, Any]:
    return {
        "size": space.size,
        "grain": space.grain,
        "layers": [
            {
                "name": layer.name,
                "op_type": layer.op_type,
                "weight_shape": list(layer.weight_shape),
                "parameters": layer.parameters,
                "macs": layer.macs,
                "precisions": [str(p) for p in space.precisions[layer.name]],
                "sparsities": [str(s) for s in space.sparsities[layer.name]],
            }
            for layer in space.layers
        ],
        "groups": [
            {
                "name": group.name,
                "layers": list(group.layers),
                "channels": group.size,
                "unit": group.unit,
                "amounts": list(space.channels.get(group.name, ())),
            }
            for group in space.groups
        ],
        "blocks": [{"name": block.name, "layers": list(block.layers)} for block in space.blocks],
    }


def _print(space: "Space") -> None:
    from rich import box
    from rich.table import Table

    from paretune.search.cli.console import make_console

    number = {group.name: f"{i}" for i, group in enumerate(space.groups, 1)}
    group_of = {name: number[group.name] for group in space.groups for name in group.layers}
    layers = Table(title="Layers", box=box.SIMPLE_HEAD, title_justify="left")
    for heading in ("layer", "operator"):
        layers.add_column(heading, overflow="fold")
    for heading in ("weights", "params", "MACs", "group"):
        layers.add_column(heading, justify="right", no_wrap=True)
    for heading in ("precisions", "sparsities"):
        layers.add_column(heading, overflow="fold")
    for layer in space.layers:
        layers.add_row(
            layer.name,
            layer.op_type,
            "×".join(map(str, layer.weight_shape)),
            _short(layer.parameters),
            "?" if layer.macs is None else _short(layer.macs),
            group_of.get(layer.name, ""),
            " ".join(map(str, space.precisions[layer.name])),
            " ".join(map(str, space.sparsities[layer.name])),
        )
    groups = Table(
        title="Groups: layers that lose the same channels",
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    for heading in ("group", "channels", "or only"):
        groups.add_column(heading, justify="right", no_wrap=True)
    groups.add_column("layers", overflow="fold")
    for group in space.groups:
        kept = (str(group.keep(a, space.grain)) for a in space.channels.get(group.name, ()))
        groups.add_row(
            number[group.name], str(group.size), " ".join(kept) or "-", ", ".join(group.layers)
        )
    blocks = Table(
        title="Residual blocks: layers that may be dropped together",
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    blocks.add_column("layers", overflow="fold")
    for block in space.blocks:
        blocks.add_row(", ".join(block.layers))
    console = make_console()
    console.print(layers)
    if space.groups:
        console.print(groups)
    if space.blocks:
        console.print(blocks)
    # Large spaces have more policies than a float can count.
    size = f"{space.size:,}" if space.size < 10**9 else f"about 10^{math.log10(space.size):.0f}"
    console.print(
        f"{size} different policies; channel counts are multiples of {space.grain},"
        " or whole attention heads."
    )


def _short(count: int) -> str:
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)
