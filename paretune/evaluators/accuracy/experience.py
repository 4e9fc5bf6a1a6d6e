"""What earlier candidates did on each sample, and what that tells about the next one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretune.evaluators.intervals import Scores

Rows = NDArray[np.intp]

_UNLIKE = 0.5
"""How far a candidate's changes are from what was expected, relative to them."""

_PRIOR = 0.5
"""Candidates that every sample is taken to have had, who changed it as samples of its group change
on average: that a sample was never changed yet does not mean that it never is."""


class Experience:
    """Gains over the fp32 model, sample by sample, of the candidates measured so far.

    Compressed models fail on the same samples: those on which the fp32 model is hardly sure.

    Args:
        samples: of the split.
        limit: the most that a candidate can gain on each sample, shape (samples,): nothing where
            the fp32 model's score is the best possible. None if there is no limit.

    Attributes:
        candidates: how many have been learned from.
    """

    def __init__(self, samples: int, limit: Scores | None) -> None:
        self.limit = limit
        self.candidates = 0
        self.largest = 0.0
        self._count = np.zeros(samples)
        self._gains = np.zeros(samples)
        self._changes = np.zeros(samples)
        # What can only be lost, and what may also be gained.
        self._groups = np.zeros(samples, bool) if limit is None else limit > 0

    def add(self, rows: Rows, gains: Scores) -> None:
        """Learn from a candidate.

        Args:
            rows: numbers of the samples that it ran, without repetition.
            gains: on them, same shape; losses are negative.
        """
        self.candidates += 1
        self.largest = max(self.largest, float(np.abs(gains).max(initial=0.0)))
        self._count[rows] += 1
        self._gains[rows] += gains
        self._changes[rows] += np.abs(gains)

    @property
    def gains(self) -> Scores:
        """What a candidate is expected to gain on each sample, shape (samples,)."""
        return self._mean(self._gains)

    @property
    def changes(self) -> Scores:
        """What it is expected to gain or lose on each sample, shape (samples,)."""
        return self._mean(self._changes)

    def weight(self) -> Scores:
        """By how much running each sample will lower the most that a candidate can have gained.

        As shares of the whole; zeros where there is no limit.
        """
        if self.limit is None:
            return np.zeros(len(self._count))
        weight = np.maximum(self.limit - self.gains, 0.0)
        total = weight.sum()
        return weight / total if total > 0 else weight

    def _mean(self, sums: Scores) -> Scores:
        prior = np.zeros(len(sums))
        for group in (self._groups, ~self._groups):
            seen = float(self._count[group].sum())
            prior[group] = sums[group].sum() / seen if seen else 0.0
        means: Scores = (sums + _PRIOR * prior) / (self._count + _PRIOR)
        return means


@dataclass(frozen=True)
class Forecast:
    """What a candidate gains in all, when some samples have run.

    Attributes:
        gains: per sample: what it was, or what is expected, shape (samples,).
        error: standard error of their mean.
        best: the most that their mean can be; None if there is no limit.
    """

    gains: Scores
    error: float
    best: float | None


def forecast(experience: Experience, rows: Rows, gains: Scores) -> Forecast:
    """Expect of the other samples what is usual there, as far as the candidate is usual so far.

    Args:
        rows: numbers of the samples that ran.
        gains: on them.
    """
    total = len(experience.gains)
    left = np.ones(total, bool)
    left[rows] = False
    # How hard compression hits this candidate. Where next to nothing is usual, it is as usual.
    usual, found = float(experience.changes[~left].sum()), float(np.abs(gains).sum())
    one = max(experience.largest, 1e-12)
    scale = (found + one) / (usual + one)
    every = np.where(left, scale * experience.gains, 0.0)
    every[rows] = gains
    best = None
    limit = experience.limit
    # A user's own scores may turn out to have none.
    if limit is not None and (gains <= limit[rows] + 1e-9).all():
        best = float(gains.sum() + limit[left].sum()) / total
    if not left.any():
        return Forecast(every, 0.0, best)
    # Of rare events as many more may come as there are on average; one candidate is not like
    # another besides; and one surprise is always possible.
    changes = max(1.0, scale) * float(experience.changes[left].sum())
    error = float(np.sqrt(changes * one + (_UNLIKE * changes) ** 2 + one**2)) / total
    return Forecast(every, error, best)
