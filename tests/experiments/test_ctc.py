from functools import cache
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.ctc import (
    BLANK,
    character_error,
    edit_distance,
    encode,
    exact_match,
    greedy_decode,
)

symbols = st.lists(st.integers(1, 3), max_size=6)
paths = st.lists(st.integers(0, 3), min_size=1, max_size=8)


@cache
def slow_distance(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """The recursive definition."""
    if not a or not b:
        return len(a) + len(b)
    return min(
        slow_distance(a[1:], b) + 1,
        slow_distance(a, b[1:]) + 1,
        slow_distance(a[1:], b[1:]) + (a[0] != b[0]),
    )


def scores_of(
    path: list[int], classes: int = 4
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.eye(classes)[path][None]


@given(symbols, symbols)
def test_edit_distance_is_the_recursive_definition(a: list[int], b: list[int]) -> None:
    assert edit_distance(a, b) == slow_distance(tuple(a), tuple(b))


@given(paths)
def test_decoding_merges_runs_then_drops_blanks(path: list[int]) -> None:
    expected = [symbol for symbol, _ in groupby(path) if symbol != BLANK]
    assert greedy_decode(scores_of(path)) == [expected]


@given(st.lists(st.text("abc", min_size=1, max_size=5), min_size=1, max_size=4))
def test_a_perfect_reader_makes_no_error(texts: list[str]) -> None:
    targets = encode(texts, "abc")
    # A blank after every symbol keeps doubled ones apart; padding is read as blank.
    path = np.stack([np.maximum(targets, 0), np.zeros_like(targets)], axis=2)
    scores = np.eye(4)[path.reshape(len(texts), -1)]
    assert exact_match({"out": scores}, targets).tolist() == [1.0] * len(texts)
    assert character_error({"out": scores}, targets).tolist() == [0.0] * len(texts)


def test_errors_are_counted_per_symbol_of_the_line() -> None:
    targets = encode(["abca", "b"], "abc")
    assert targets.tolist() == [[1, 2, 3, 1], [2, -1, -1, -1]]
    outputs = {"out": np.concatenate([scores_of([1, 3, 0, 1]), scores_of([0, 2, 2, 0])])}
    assert exact_match(outputs, targets).tolist() == [0.0, 1.0]
    assert character_error(outputs, targets) == pytest.approx([1 / 4, 0])
