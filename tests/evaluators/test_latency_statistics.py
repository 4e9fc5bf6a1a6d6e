"""Medians and their intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from paretune.evaluators.latency.statistics import FEWEST, Median, median


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=200))
def test_the_median_is_numpys_and_lies_in_its_interval(values: list[float]) -> None:
    result = median(values)
    assert result.value == pytest.approx(np.median(values))
    assert min(values) <= result.low <= result.value <= result.high <= max(values)
    assert result.relative_half_width == (result.high - result.low) / 2 / result.value


@pytest.mark.parametrize("n", [FEWEST, 7, 10, 25, 99, 250, 1001])
def test_the_interval_equals_scipys(n: int) -> None:
    values = np.random.default_rng(n).lognormal(size=n)
    expected = stats.quantile_test(values, p=0.5).confidence_interval(0.95)
    result = median(list(values))
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high))


def test_fewer_values_than_an_interval_needs_give_their_range() -> None:
    assert median([3, 1, 2]) == Median(2, 1, 3)
    assert median([4]) == Median(4, 4, 4)


def test_fewest_is_where_the_range_covers() -> None:
    assert 2 * 0.5**FEWEST < 0.05 <= 2 * 0.5 ** (FEWEST - 1)


@pytest.mark.parametrize("n", [10, 40])
def test_the_interval_covers_what_it_promises(n: int) -> None:
    rng = np.random.default_rng(1)
    # Latencies: a floor, a long tail, now and then a stall.
    samples = 1 + rng.gamma(0.5, 0.05, (3000, n)) + (rng.random((3000, n)) < 0.05)
    truth = np.median(1 + rng.gamma(0.5, 0.05, 10**6) + (rng.random(10**6) < 0.05))
    covered = [m.low <= truth <= m.high for m in (median(list(row)) for row in samples)]
    assert 0.94 < np.mean(covered) < 0.99
