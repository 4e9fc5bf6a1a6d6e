"""Getting the splits from a user's data function."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from paretune.errors import UserError
from paretune.evaluators.data import Array, Batch, Splits
from paretune.importing import call_object, describe, import_object

_NAMES = ("calibration", "search", "test")


def load_splits(spec: str, /, **params: Any) -> Splits:
    """Import the data function `package.module:function`, call it and put its result in order.

    Args:
        spec: the function; it returns what `as_splits` takes.
        params: given to the function by keyword.

    Raises:
        UserError: the function is not found, raises, or returns something else.
    """
    function = import_object(spec, what="data")
    return as_splits(call_object("data", function, **params))


def as_splits(data: Any) -> Splits:
    """Put data in order: every split a tuple of batches that hold NumPy arrays.

    Args:
        data: `Splits`, or a mapping with the keys `calibration`, `search` and `test`. Each is one
            `Batch` or an iterable whose items are `Batch`, `(inputs, targets)` or a mapping of
            inputs without targets.

    Raises:
        UserError: a split is missing or unknown, or an item is of another form.
    """
    if isinstance(data, Splits):
        data = {name: getattr(data, name) for name in _NAMES}
    if not isinstance(data, Mapping):
        raise UserError(
            "data: the function must return Splits or a mapping with calibration, search and test,"
            f" but got {type(data).__name__}"
        )
    if missing := [name for name in _NAMES if data.get(name) is None]:
        raise UserError(
            f"data: the split '{missing[0]}' is missing; needed are {', '.join(_NAMES)}"
        )
    if unknown := [str(name) for name in data if name not in _NAMES]:
        raise UserError(f"data: unknown split '{unknown[0]}'; allowed are {', '.join(_NAMES)}")
    return Splits(**{name: _batches(name, data[name]) for name in _NAMES})


def _batches(split: str, value: Any) -> tuple[Batch, ...]:
    items = [value] if isinstance(value, Batch) else value
    if not isinstance(items, Iterable) or isinstance(items, Mapping | str):
        raise UserError(
            f"data: the split '{split}' must be a Batch or a sequence of them, but got"
            f" {type(value).__name__}"
        )
    try:
        listed = list(items)
    except Exception as error:
        raise UserError(f"data: reading the split '{split}' raised {describe(error)}") from error
    return tuple(_batch(f"data: batch {i} of '{split}'", item) for i, item in enumerate(listed))


def _batch(where: str, item: Any) -> Batch:
    inputs: Any
    targets: Any = None
    if isinstance(item, Batch):
        inputs, targets = item.inputs, item.targets
    elif isinstance(item, tuple | list) and len(item) == 2:
        inputs, targets = item
    else:
        inputs = item
    if not isinstance(inputs, Mapping):
        raise UserError(
            f"{where} must be a Batch, (inputs, targets) with inputs a mapping of names to arrays,"
            f" or such a mapping alone, but got {type(item).__name__}"
        )
    return Batch(
        {str(name): _array(f"{where}: '{name}'", array) for name, array in inputs.items()},
        None if targets is None else _array(f"{where}: the targets", targets),
    )


def _array(what: str, value: Any) -> Array:
    try:
        return np.asarray(value)
    except Exception as error:
        kind = type(value).__name__
        raise UserError(f"{what}: a {kind} that is no array: {describe(error)}") from error
