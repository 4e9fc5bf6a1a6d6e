"""What models run on while they are compared."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile, is_zipfile

import numpy as np

from paretune.errors import UserError
from paretune.evaluators.data import Array
from paretune.evaluators.signature import ModelInput, model_inputs
from paretune.names import nearest

_SEED = 0


def made_inputs(
    model: Path, *, batch: int | None = None, shapes: Mapping[str, Sequence[int]] | None = None
) -> dict[str, Array]:
    """Inputs for a model: standard normal where it takes floats, the same ones every time.

    Whole numbers and booleans are all 1, since token ids and positions must lie within a table.

    Args:
        batch: size of the first dimension where it is free; 1 by default.
        shapes: input name to shape, for inputs with other free dimensions.

    Raises:
        UserError: an input is no tensor of numbers, or its shape is not known or impossible.
    """
    shapes = shapes or {}
    inputs = [given for given in model_inputs(model) if given.required]
    for name in shapes:
        if name not in (known := [given.name for given in inputs]):
            raise UserError(f"'{model}' has no input '{name}'{nearest(name, known)}")
    rng = np.random.default_rng(_SEED)
    made = {}
    for given in inputs:
        if given.dtype is None or given.dtype.kind not in "fiub":
            raise UserError(f"'{model}': no values can be made for the input {given}")
        shape = _shape(model, given, batch, shapes.get(given.name))
        normal = given.dtype.kind == "f"
        values = rng.standard_normal(shape) if normal else np.ones(shape)
        made[given.name] = np.asarray(values).astype(given.dtype)
    if batch is not None and all(array.shape[:1] != (batch,) for array in made.values()):
        listed = ", ".join(map(str, inputs))
        raise UserError(f"'{model}' takes {listed}, so the batch cannot be {batch}")
    return made


def read_inputs(path: Path) -> dict[str, Array]:
    """Read an `.npz` file that holds arrays by input name; never unpickles.

    Raises:
        UserError: there is no such file, or it is something else.
    """
    if not path.exists():
        raise UserError(f"no file '{path}'")
    try:
        if not is_zipfile(path):
            raise UserError(f"'{path}' must be an .npz file of arrays by input name")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise UserError(f"'{path}' cannot be read as an .npz file of numbers: {error}") from None


def check_inputs(model: Path, feeds: Mapping[str, Array]) -> None:
    """See that a model takes these arrays.

    Raises:
        UserError: it lacks one, takes another one, or of another type or shape.
    """
    inputs = {given.name: given for given in model_inputs(model)}
    listed = ", ".join(str(given) for given in inputs.values())
    for name, array in feeds.items():
        if name not in inputs:
            raise UserError(f"'{model}' has no input '{name}'; it takes {listed}")
        given = inputs[name]
        if array.dtype != given.dtype or not _fits(array.shape, given.shape):
            raise UserError(
                f"'{model}' takes {given}, but '{name}' is {array.dtype} of shape {array.shape}"
            )
    for name, given in inputs.items():
        if given.required and name not in feeds:
            raise UserError(
                f"'{model}' also takes {given}, but there is only {', '.join(feeds) or 'nothing'}"
            )


def _shape(
    model: Path, given: ModelInput, batch: int | None, chosen: Sequence[int] | None
) -> tuple[int, ...]:
    if chosen is not None:
        if min(chosen, default=1) < 1 or not _fits(chosen, given.shape):
            text = ",".join(map(str, chosen))
            raise UserError(f"'{model}' takes {given}, so its shape cannot be {text}")
        return tuple(chosen)
    if given.shape is None or None in given.shape[1:]:
        raise UserError(
            f"'{model}' takes {given}, whose shape is partly free; say it, as in"
            f" --shape {given.name}={_example(given, batch)}"
        )
    return tuple(size or batch or 1 for size in given.shape)


def _example(given: ModelInput, batch: int | None) -> str:
    if given.shape is None:
        return "1,128"
    first, *others = given.shape
    return ",".join(map(str, (first or batch or 1, *(size or 128 for size in others))))


def _fits(shape: Sequence[int], allowed: Sequence[int | None] | None) -> bool:
    return allowed is None or (
        len(shape) == len(allowed)
        and all(want is None or have == want for have, want in zip(shape, allowed, strict=True))
    )
