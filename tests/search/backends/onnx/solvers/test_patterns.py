"""Patterns of zeros, against loops over their windows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.search.backends.onnx.solvers.patterns import (
    BlockPattern,
    NMPattern,
    Pattern,
    UnstructuredPattern,
    share,
)

PATTERNS = [
    UnstructuredPattern(0.37),
    NMPattern(2, 4, 10),
    NMPattern(1, 3, 15),
    BlockPattern(0.4, 4, 10),
    BlockPattern(0.4, 5, 15),
]


def test_share_is_what_is_written() -> None:
    assert [share(0.3, 10), share(0.29, 100), share(0.5, 5), share(0.0, 5)] == [3, 29, 2, 0]


@given(st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_unstructured_zeros_are_the_smallest(amount: float, seed: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 9, (2, 3, 7)).astype(float)
    kept = UnstructuredPattern(amount).keep(scores)
    assert (~kept).sum() == share(amount, scores.size)
    if kept.any() and not kept.all():
        assert scores[~kept].max() <= scores[kept].min()


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (2, 3), (4, 4), (3, 8)])
@pytest.mark.parametrize("inputs", [3, 8, 10])
def test_the_largest_n_of_m_inputs_stay(n: int, m: int, inputs: int) -> None:
    scores = np.random.default_rng(n).normal(size=(2, 3, 4 * inputs)) ** 2
    kept = NMPattern(n, m, inputs).keep(scores)
    for position in range(0, 4 * inputs, inputs):
        for start in range(0, inputs, m):
            window = slice(position + start, position + min(start + m, inputs))
            for index in np.ndindex(2, 3):
                wanted = np.sort(scores[index][window])[::-1][:n]
                got = np.sort(scores[index][window][kept[index][window]])[::-1]
                np.testing.assert_array_equal(got, wanted)


def test_blocks_fall_as_a_whole() -> None:
    scores = np.random.default_rng(0).normal(size=(2, 3, 20)) ** 2
    kept = BlockPattern(0.5, 4, 10).keep(scores)
    sums, states = [], []
    for index in np.ndindex(2, 3):
        # 4, 4 and the 2 that are left, at both positions.
        for start, stop in ((0, 4), (4, 8), (8, 10), (10, 14), (14, 18), (18, 20)):
            (state,) = set(kept[index][start:stop].tolist())
            sums.append(scores[index][start:stop].sum())
            states.append(state)
    assert states.count(False) == 18
    assert max(s for s, k in zip(sums, states, strict=True) if not k) < min(
        s for s, k in zip(sums, states, strict=True) if k
    )


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_windows_cover_all_columns_in_order(pattern: Pattern) -> None:
    covered = [c for window in pattern.windows(30) for c in range(window.start, window.stop)]
    assert covered == list(range(30))


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_windows_decided_again_hold_the_pattern_with_as_many_zeros(pattern: Pattern) -> None:
    rng = np.random.default_rng(0)
    kept, scores = pattern.keep(rng.uniform(size=(2, 3, 30))), rng.uniform(size=(2, 3, 30))
    again = kept.copy()
    for window in pattern.windows(30):
        again[..., window] = pattern.again(scores[..., window], kept[..., window])
    assert (again != kept).any()
    assert again.sum() == kept.sum()
    # A mask that has the pattern is what the pattern makes of it.
    np.testing.assert_array_equal(pattern.keep(again.astype(float)), again)


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_equal_scores_fall_alike(pattern: Pattern) -> None:
    scores = np.zeros((2, 3, 30))
    np.testing.assert_array_equal(pattern.keep(scores), pattern.keep(scores.copy()))


def test_nothing_falls_of_nothing() -> None:
    scores = np.zeros((1, 2, 8))
    for pattern in (UnstructuredPattern(0), BlockPattern(0, 4, 8), NMPattern(4, 4, 8)):
        assert pattern.keep(scores).all()
