"""Evaluation data: batches of named input arrays with targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Batch:
    """Some samples.

    Attributes:
        inputs: input name to array; the first dimension counts the samples.
        targets: array whose first dimension counts the samples, or None without labels.
    """

    inputs: Mapping[str, Array]
    targets: Array | None = None

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(next(iter(self.inputs.values())))


@dataclass(frozen=True)
class Splits:
    """The three disjoint parts of the data.

    `calibration` needs no targets; the search sees `search`; `test` is touched once, at the end.
    """

    calibration: Sequence[Batch]
    search: Sequence[Batch]
    test: Sequence[Batch]
