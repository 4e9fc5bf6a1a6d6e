"""The order in which the samples of a split run: as they were given, or by weight."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from paretune.evaluators.data import Array, Batch
from paretune.evaluators.intervals import Scores

LEAST_RUNS = 32
"""Larger batches are cut, if the model takes other sizes: small parts are then several runs."""

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Order:
    """Samples of given batches, cut anew into runs.

    Nothing is copied before its turn: however large the data, it is in memory once.

    Attributes:
        batches: as given.
        runs: the samples of each run, counted through all given batches.
        mixed: whether a run takes its samples from many batches; otherwise it is one of them.
    """

    batches: Sequence[Batch]
    runs: Sequence[Rows]
    mixed: bool

    @cached_property
    def total(self) -> int:
        """Samples in all."""
        return sum(len(rows) for rows in self.runs)

    def rows(self, done: int) -> Rows:
        """The samples of the first `done` runs, in their order."""
        return np.concatenate(self.runs[:done])

    def until(self, share: float) -> int:
        """How many runs hold at least this share of the samples."""
        counts = np.cumsum([len(rows) for rows in self.runs])
        return int(np.searchsorted(counts, share * self.total - 1e-9)) + 1

    def given(self, run: int) -> int:
        """Number of a given batch: the one that the run is, or that of its first sample."""
        return int(np.searchsorted(self._starts, self.runs[run][0], side="right")) - 1

    def take(self, arrays: Sequence[Array], run: int) -> Array:
        """What belongs to the samples of a run.

        Args:
            arrays: one a given batch; the first dimension counts its samples.
        """
        if not self.mixed:
            # As it is: it may look like no other.
            return arrays[self.given(run)]
        rows = self.runs[run]
        batches = np.searchsorted(self._starts, rows, side="right") - 1
        places = zip(batches, rows - self._starts[batches], strict=True)
        return np.stack([arrays[batch][row] for batch, row in places])

    def batch(self, run: int) -> Batch:
        """The samples of a run."""
        if not self.mixed:
            return self.batches[self.given(run)]
        names = self.batches[0].inputs
        inputs = {name: self.take([b.inputs[name] for b in self.batches], run) for name in names}
        targets = [batch.targets for batch in self.batches if batch.targets is not None]
        return Batch(inputs, self.take(targets, run) if targets else None)

    @cached_property
    def _starts(self) -> Rows:
        return np.cumsum([0, *(batch.size for batch in self.batches[:-1])])


def as_given(batches: Sequence[Batch]) -> Order:
    """One run a batch."""
    return Order(batches, _ranges([batch.size for batch in batches]), mixed=False)


def heaviest_first(
    batches: Sequence[Batch], weights: Scores, *, mixed: bool, any_size: bool
) -> Order:
    """By falling weight; equal ones as they were given.

    Args:
        weights: of the samples, counted through all batches.
        mixed: order samples, which needs batches that are `alike`; False orders whole batches, by
            their mean weight.
        any_size: the model also takes smaller batches than these.
    """
    sizes = [batch.size for batch in batches]
    given = _ranges(sizes)
    if not mixed:
        means = np.array([weights[rows].mean() for rows in given])
        order = np.argsort(-means, kind="stable")
        return Order(batches, [given[batch] for batch in order], mixed=False)
    total = sum(sizes)
    most = -(-total // LEAST_RUNS)
    if any_size and max(sizes) > most:
        sizes = [min(most, total - start) for start in range(0, total, most)]
    samples = np.argsort(-weights, kind="stable")
    return Order(batches, [samples[rows] for rows in _ranges(sizes)], mixed=True)


def alike(batches: Sequence[Batch]) -> bool:
    """Whether samples of all batches fit into one: equal shapes beyond the first dimension."""
    return len({tuple(_looks(batch)) for batch in batches}) == 1


def _looks(batch: Batch) -> list[object]:
    arrays = {**batch.inputs, "": batch.targets}
    looks: list[object] = []
    for name, array in arrays.items():
        if array is None:
            looks.append((name, None))
        elif array.ndim == 0 or len(array) != batch.size:
            # It belongs to the batch, not to its samples.
            looks.append(id(batch))
        else:
            looks.append((name, array.dtype.str, array.shape[1:]))
    return looks


def _ranges(sizes: Sequence[int]) -> list[Rows]:
    ends = np.cumsum(sizes)
    return [np.arange(end - size, end) for size, end in zip(sizes, ends, strict=True)]
