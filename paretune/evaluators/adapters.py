"""Ready-made helpers for users' data functions: arrays, `.npz` files and torch DataLoaders."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from paretune.errors import UserError
from paretune.evaluators.data import Array, Batch


def from_arrays(
    inputs: Mapping[str, Array], targets: Array | None = None, *, batch_size: int = 64
) -> list[Batch]:
    """Cut arrays into batches; the last one may be smaller.

    Args:
        inputs: input name to array of shape (samples, ...).
        targets: shape (samples, ...), or None without labels.

    Raises:
        UserError: no inputs, numbers of samples that differ, or a batch size below 1.
    """
    if batch_size < 1:
        raise UserError(f"batch_size must be at least 1, but got {batch_size}")
    if not inputs:
        raise UserError("at least one input array is needed, but got none")
    arrays = {name: np.asarray(array) for name, array in inputs.items()}
    labels = None if targets is None else np.asarray(targets)
    counts = {
        f"input '{name}'": _samples(f"input '{name}'", array) for name, array in arrays.items()
    }
    if labels is not None:
        counts["targets"] = _samples("targets", labels)
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise UserError(f"inputs and targets must have as many samples each, but {listed}")
    samples = next(iter(counts.values()))
    return [
        Batch(
            {name: array[start : start + batch_size] for name, array in arrays.items()},
            None if labels is None else labels[start : start + batch_size],
        )
        for start in range(0, samples, batch_size)
    ]


def from_npz(
    path: Path | str,
    *,
    inputs: Sequence[str],
    targets: str | None = None,
    batch_size: int = 64,
) -> list[Batch]:
    """Batches from the arrays of an `.npz` file.

    Args:
        inputs: arrays in the file that are model inputs of the same name.
        targets: array in the file that holds the targets.

    Raises:
        UserError: no such file, no `.npz` file, or an array that it does not hold.
    """
    try:
        # NumPy leaves a file open that it opened itself and cannot read.
        with Path(path).open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise UserError(f"'{path}' cannot be read as an .npz file: it is a single array")
            wanted = [*inputs] if targets is None else [*inputs, targets]
            if missing := [name for name in wanted if name not in file]:
                raise UserError(
                    f"'{path}' holds no array '{missing[0]}'; it holds {', '.join(file) or 'none'}"
                )
            arrays = {name: file[name] for name in inputs}
            labels = None if targets is None else file[targets]
    except FileNotFoundError:
        raise UserError(f"no file '{path}'") from None
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise UserError(f"'{path}' cannot be read as an .npz file: {error}") from None
    return from_arrays(arrays, labels, batch_size=batch_size)


def from_dataloader(
    loader: Iterable[Any],
    *,
    input_names: Sequence[str],
    target_name: str | None = None,
    limit: int | None = None,
) -> list[Batch]:
    """Batches as a torch `DataLoader` (or any iterable of the same items) yields them.

    An item is `(x, y)`, `((x1, x2), y)`, a mapping, or one tensor without targets.

    Args:
        input_names: names of the model inputs, in the order of `x1, x2, ...`, or the keys of the
            mapping to take.
        target_name: for mappings, the key of the targets.
        limit: stop after this many batches.

    Raises:
        UserError: an item of another form, or without one of the names.
    """
    if not input_names:
        raise UserError("input_names must name at least one model input, but got none")
    if target_name is not None and target_name in input_names:
        raise UserError(f"'{target_name}' cannot be both an input and the targets")
    return [_batch(item, input_names, target_name) for item in islice(loader, limit)]


def _batch(item: Any, input_names: Sequence[str], target_name: str | None) -> Batch:
    if isinstance(item, Mapping):
        wanted = [*input_names] if target_name is None else [*input_names, target_name]
        if missing := [name for name in wanted if name not in item]:
            keys = ", ".join(str(key) for key in item)
            raise UserError(f"the data loader's items have no '{missing[0]}'; they have {keys}")
        targets = None if target_name is None else _array(item[target_name])
        return Batch({name: _array(item[name]) for name in input_names}, targets)
    values, targets = item, None
    if isinstance(item, tuple | list):
        if len(item) != 2:
            raise UserError(
                "the data loader must yield (inputs, targets), a mapping or one tensor, but got"
                f" a {type(item).__name__} of {len(item)}"
            )
        values, targets = item[0], _array(item[1])
    tensors = values if isinstance(values, tuple | list) else [values]
    if len(tensors) != len(input_names):
        raise UserError(
            f"the data loader yields {len(tensors)} inputs, but input_names has {len(input_names)}:"
            f" {', '.join(input_names)}"
        )
    return Batch(
        {name: _array(x) for name, x in zip(input_names, tensors, strict=True)},
        targets,
    )


def _array(value: Any) -> Array:
    # A tensor on a GPU or with a gradient does not turn into an array by itself.
    for step in ("detach", "cpu"):
        if hasattr(value, step):
            value = getattr(value, step)()
    return np.asarray(value)


def _samples(name: str, array: Array) -> int:
    if array.ndim == 0:
        raise UserError(f"{name} must have the samples as first dimension, but it is a scalar")
    return len(array)
