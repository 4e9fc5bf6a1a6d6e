"""Does the data fit the model? Checked once, before anything runs for hours."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from paretune.errors import UserError
from paretune.evaluators.data import Array, Batch, Splits
from paretune.evaluators.signature import ModelInput, model_inputs
from paretune.names import hint


def check_splits(
    splits: Splits, model: Path, types: Mapping[str, np.dtype[Any]] | None = None
) -> None:
    """Check every batch of every split against the inputs of an ONNX model.

    Args:
        types: of inputs that the data have in another type, since the artifacts take them so.

    Raises:
        UserError: a split or a batch without samples; an input that is missing or that the model
            lacks, or has another element type or shape; numbers of samples that differ; targets in
            only some batches of a split, or in only one of `search` and `test`.
    """
    types = types or {}
    inputs = [replace(x, dtype=types.get(x.name, x.dtype)) for x in model_inputs(model)]
    for given in inputs:
        if given.required and given.dtype is None:
            raise UserError(
                f"the model's input '{given.name}' is no tensor of numbers, as it must be"
            )
    for name, batches in (
        ("calibration", splits.calibration),
        ("search", splits.search),
        ("test", splits.test),
    ):
        sizes = [
            _check_batch(f"data: batch {i} of '{name}'", b, inputs) for i, b in enumerate(batches)
        ]
        if not sum(sizes):
            raise UserError(f"data: the split '{name}' has no samples")
        if 0 in sizes:
            empty = sizes.index(0)
            raise UserError(f"data: batch {empty} of '{name}' has no samples; leave it out")
        _check_targets(name, batches)
    if (splits.search[0].targets is None) != (splits.test[0].targets is None):
        with_targets, without = ("search", "test")
        if splits.search[0].targets is None:
            with_targets, without = without, with_targets
        raise UserError(f"data: the split '{with_targets}' has targets, but '{without}' has none")


def _check_batch(where: str, batch: Batch, inputs: Sequence[ModelInput]) -> int:
    """The number of samples in a batch that fits."""
    known = {given.name: given for given in inputs}
    listed = ", ".join(str(given) for given in inputs)
    for name in batch.inputs:
        if name not in known:
            raise UserError(
                f"{where}: the model has no input '{name}'{hint(name, known)}; it takes {listed}"
            )
    for given in inputs:
        if given.required and given.name not in batch.inputs:
            raise UserError(f"{where} lacks the input '{given.name}'; the model takes {listed}")
    for name, array in batch.inputs.items():
        _check_array(where, array, known[name])
    counts = {f"'{name}'": len(array) for name, array in batch.inputs.items()}
    if batch.targets is not None:
        if batch.targets.ndim == 0:
            raise UserError(f"{where}: targets must have shape (samples, ...), but got a scalar")
        counts["the targets"] = len(batch.targets)
    if len(set(counts.values())) > 1:
        figures = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise UserError(f"{where}: numbers of samples differ: {figures}")
    return batch.size


def _check_array(where: str, array: Array, given: ModelInput) -> None:
    if array.ndim == 0:
        raise UserError(f"{where}: '{given.name}' must have shape (samples, ...), but got a scalar")
    if given.dtype is not None and array.dtype != given.dtype:
        raise UserError(
            f"{where}: '{given.name}' has dtype {array.dtype}, but the model takes {given.dtype};"
            f" convert it with .astype(np.{given.dtype})"
        )
    if given.shape is not None and not _fits(array.shape, given.shape):
        hint = ""
        if given.shape[:1] != (None,) and _fits(array.shape[1:], given.shape[1:]):
            hint = f"; its batch size is fixed, so batches must have {given.shape[0]} samples"
        raise UserError(
            f"{where}: '{given.name}' has shape {array.shape}, but the model takes {given}{hint}"
        )
    if np.issubdtype(array.dtype, np.floating) and np.isnan(array).any():
        raise UserError(f"{where}: '{given.name}' holds NaN")


def _fits(shape: Sequence[int], allowed: Sequence[int | None]) -> bool:
    return len(shape) == len(allowed) and all(
        want is None or have == want for have, want in zip(shape, allowed, strict=True)
    )


def _check_targets(split: str, batches: Sequence[Batch]) -> None:
    with_targets = sum(batch.targets is not None for batch in batches)
    if 0 < with_targets < len(batches):
        raise UserError(
            f"data: targets must be in all batches of '{split}' or in none, but"
            f" {with_targets} of {len(batches)} have them"
        )
