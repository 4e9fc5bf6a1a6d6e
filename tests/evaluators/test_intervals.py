"""Intervals against SciPy, and against what they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from paretune.evaluators.intervals import (
    difference_interval,
    mean_interval,
    paired_shares,
    student_quantile,
    wilson,
)

FINITE = st.floats(-100, 100)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_scipy(case: tuple[int, int]) -> None:
    hits, samples = case
    expected = stats.binomtest(hits, samples).proportion_ci(0.95, method="wilson")
    low, high = wilson(hits, samples)
    assert low == pytest.approx(expected.low, abs=1e-9)
    assert high == pytest.approx(expected.high, abs=1e-9)
    assert low <= hits / samples <= high


@pytest.mark.parametrize("freedom", [5, 6, 10, 30, 100, 2000])
def test_student_quantile_equals_scipy(freedom: int) -> None:
    assert student_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=2e-3)


@given(hnp.arrays(np.float64, st.integers(8, 40), elements=FINITE))
def test_scores_get_students_interval(scores: np.ndarray) -> None:
    interval = mean_interval(scores, shares=False)
    assert interval is not None
    error = stats.sem(scores)
    expected = stats.t.interval(0.95, len(scores) - 1, scores.mean(), error or 1e-12)
    assert interval == pytest.approx(expected, rel=5e-3, abs=1e-2 * error + 1e-9)


def test_hits_and_misses_get_wilsons_interval() -> None:
    hits = np.array([1.0] * 9 + [0.0])
    assert mean_interval(hits) == wilson(9, 10)
    assert mean_interval(np.zeros(10), shares=False) == (0.0, 0.0)


def test_one_score_says_nothing_about_the_spread() -> None:
    assert mean_interval(np.array([0.3])) is None
    assert difference_interval(np.array([0.3]), np.array([0.1])) is None


@given(
    st.integers(1, 300).flatmap(
        lambda n: st.tuples(st.integers(0, n), st.integers(0, n), st.just(n)).filter(
            lambda t: t[0] + t[1] <= t[2]
        )
    )
)
def test_paired_shares_hold_their_value_and_mirror(case: tuple[int, int, int]) -> None:
    gained, lost, samples = case
    low, high = paired_shares(gained, lost, samples)
    assert -1 <= low <= (gained - lost) / samples <= high <= 1
    assert low < high
    assert paired_shares(lost, gained, samples) == pytest.approx((-high, -low))


@pytest.mark.parametrize(("both", "gained", "lost"), [(0.90, 0.02, 0.01), (0.85, 0.05, 0.05)])
def test_paired_shares_cover_what_they_promise(both: float, gained: float, lost: float) -> None:
    rng = np.random.default_rng(0)
    cells = rng.multinomial(500, [both, gained, lost, 1 - both - gained - lost], size=4000)
    covered = [
        low <= gained - lost <= high
        for low, high in (paired_shares(int(g), int(lo), 500) for _, g, lo, _ in cells)
    ]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


def test_difference_of_hits_counts_discordant_samples() -> None:
    first = np.array([1, 1, 1, 0, 1, 0.0])
    second = np.array([1, 0, 0, 1, 1, 0.0])
    assert difference_interval(first, second) == paired_shares(2, 1, 6)


@given(hnp.arrays(np.float64, (2, 20), elements=FINITE))
def test_difference_of_scores_is_the_interval_of_the_differences(scores: np.ndarray) -> None:
    first, second = scores + 0.25
    expected = mean_interval(first - second, shares=False)
    assert difference_interval(first, second) == expected
