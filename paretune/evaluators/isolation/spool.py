"""Data in a file that several processes map: in memory once, whatever its size."""

import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

from paretune.errors import UserError
from paretune.evaluators.data import Array, Batch, Splits

_PREFIX, _SUFFIX = "data-", ".spool"
_ALIGNMENT = 64


@dataclass(frozen=True)
class _Place:
    """Where an array is in the file; C order."""

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


_Kept = _Place | Array
"""Arrays of Python objects, or of nothing, are in no file; they travel as they are."""


@dataclass(frozen=True)
class _KeptBatch:
    inputs: Mapping[str, _Kept]
    targets: _Kept | None


@dataclass(frozen=True)
class Layout:
    """Where all arrays of splits are; right for any file with the same content.

    Attributes:
        path: the file.
    """

    path: Path
    calibration: tuple[_KeptBatch, ...]
    search: tuple[_KeptBatch, ...]
    test: tuple[_KeptBatch, ...]


@dataclass(frozen=True)
class MappedSplits(Splits):
    """Splits whose arrays are mapped, read-only; pickled, they are mapped where they arrive."""

    layout: Layout

    def __reduce__(self) -> tuple[Any, ...]:
        return mapped, (self.layout,)


class Spool:
    """A file for the arrays of splits, which lasts until `close`. A context manager.

    Args:
        folder: exists; where it cannot be written, the system's temporary folder is taken. What a
            killed process left there is removed.
    """

    def __init__(self, folder: Path) -> None:
        if not os.access(folder, os.W_OK):
            folder = Path(tempfile.gettempdir())
        _remove_abandoned(folder)
        self._file, self._path = _locked_file(folder.resolve())

    def keep(self, splits: Splits) -> Splits:
        """The same splits, read-only and mapped from the file. Called once.

        Those that are mapped from a file already stay in that one.

        Raises:
            UserError: the file cannot be written.
        """
        if isinstance(splits, MappedSplits) and splits.layout.path.is_file():
            return splits
        places: dict[int, _Kept] = {}

        def keep_all(batches: Sequence[Batch]) -> tuple[_KeptBatch, ...]:
            return tuple(
                _KeptBatch(
                    {name: self._keep(array, places) for name, array in batch.inputs.items()},
                    None if batch.targets is None else self._keep(batch.targets, places),
                )
                for batch in batches
            )

        try:
            layout = Layout(
                self._path,
                keep_all(splits.calibration),
                keep_all(splits.search),
                keep_all(splits.test),
            )
            self._file.flush()
        except OSError as error:
            raise UserError(f"cannot write the data to '{self._path}': {error}") from error
        return mapped(layout)

    def close(self) -> None:
        """Remove the file; what is mapped stays usable."""
        with suppress(OSError):
            self._path.unlink()
        # What did not fit on the disk is not missed.
        with suppress(OSError):
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _keep(self, array: Array, places: dict[int, _Kept]) -> _Kept:
        # The same array may be in several batches. All live on until the last one is kept.
        if (known := places.get(id(array))) is not None:
            return known
        place: _Kept = array
        if array.dtype.itemsize and not array.dtype.hasobject:
            self._file.write(bytes(-self._file.tell() % _ALIGNMENT))
            place = _Place(self._file.tell(), array.dtype, array.shape)
            self._file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        places[id(array)] = place
        return place


def mapped(layout: Layout) -> Splits:
    """The splits that are in a file, read-only.

    Raises:
        OSError: there is no such file.
    """
    size = layout.path.stat().st_size
    content = np.memmap(layout.path, np.uint8, mode="r") if size else np.empty(0, np.uint8)

    def array(kept: _Kept) -> Array:
        if not isinstance(kept, _Place):
            return kept
        return np.ndarray(kept.shape, kept.dtype, content, kept.offset)

    def batches(kept: Sequence[_KeptBatch]) -> Iterator[Batch]:
        for one in kept:
            targets = None if one.targets is None else array(one.targets)
            yield Batch({name: array(place) for name, place in one.inputs.items()}, targets)

    return MappedSplits(
        tuple(batches(layout.calibration)),
        tuple(batches(layout.search)),
        tuple(batches(layout.test)),
        layout,
    )


def _locked_file(folder: Path) -> tuple[IO[bytes], Path]:
    """A new file that is locked as long as this process lives."""
    handle, draft = tempfile.mkstemp(dir=folder, prefix=f".{_PREFIX}")
    file = os.fdopen(handle, "wb")
    fcntl.flock(file, fcntl.LOCK_EX)
    # Others look for this name, and remove it when it is not locked.
    path = folder / f"{Path(draft).name[1:]}{_SUFFIX}"
    Path(draft).replace(path)
    return file, path


def _remove_abandoned(folder: Path) -> None:
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
