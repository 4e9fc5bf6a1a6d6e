"""Scores of a text recognizer with a CTC output (Graves et al., doi:10.1145/1143844.1143891).

A text is its symbols' class numbers; class 0 is the blank. Targets are padded with -1.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from paretune.evaluators.data import Array

BLANK = 0
PADDING = -1


def encode(texts: Sequence[str], symbols: Sequence[str]) -> NDArray[np.int64]:
    """Targets of shape (texts, length of the longest); `symbols[i]` is class i + 1."""
    number = {symbol: i for i, symbol in enumerate(symbols, start=1)}
    targets = np.full((len(texts), max(map(len, texts))), PADDING, np.int64)
    for row, text in zip(targets, texts, strict=True):
        row[: len(text)] = [number[symbol] for symbol in text]
    return targets


def greedy_decode(scores: Array) -> list[list[int]]:
    """The best class at every step, repetitions merged, blanks left out.

    Args:
        scores: shape (n, steps, classes).
    """
    best = scores.argmax(axis=2)
    fresh = np.ones(best.shape, bool)
    fresh[:, 1:] = best[:, 1:] != best[:, :-1]
    kept = fresh & (best != BLANK)
    return [row[keep].tolist() for row, keep in zip(best, kept, strict=True)]


def edit_distance(a: Sequence[int], b: Sequence[int]) -> int:
    """Fewest insertions, deletions and substitutions from `a` to `b` (Levenshtein, 1966)."""
    previous = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        current = [i]
        for j, y in enumerate(b, start=1):
            current.append(min(previous[j] + 1, current[-1] + 1, previous[j - 1] + (x != y)))
        previous = current
    return previous[-1]


def exact_match(outputs: Mapping[str, Array], targets: Array) -> NDArray[np.float64]:
    """1 where every symbol of the line is right, else 0. Shape (n,), more is better.

    Args:
        outputs: the first one has shape (n, steps, classes).
        targets: shape (n, length), padded with -1.
    """
    pairs = _pairs(outputs, targets)
    return np.array([float(read == wanted) for read, wanted in pairs])


def character_error(outputs: Mapping[str, Array], targets: Array) -> NDArray[np.float64]:
    """Edit distance to the line per symbol of the line. Shape (n,), less is better.

    Args:
        outputs, targets: as in `exact_match`.
    """
    pairs = _pairs(outputs, targets)
    return np.array([edit_distance(read, wanted) / len(wanted) for read, wanted in pairs])


def _pairs(outputs: Mapping[str, Array], targets: Array) -> list[tuple[list[int], list[int]]]:
    decoded = greedy_decode(next(iter(outputs.values())))
    wanted = [row[row != PADDING].tolist() for row in targets]
    return list(zip(decoded, wanted, strict=True))
