"""Quantiles and their intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from paretune.evaluators.measuring.result import Estimate
from paretune.evaluators.measuring.statistics import FEWEST, correlation_time, median, quantile


def correlated(rng: np.random.Generator, n: int, keep: float) -> NDArray[np.float64]:
    """An autoregression of order one, of variance one."""
    shocks = rng.standard_normal(n) * np.sqrt(1 - keep**2)
    values = [rng.standard_normal()]
    for shock in shocks[1:]:
        values.append(keep * values[-1] + shock)
    return np.array(values)


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_the_quantile_is_numpys_and_lies_in_its_interval(values: list[float], p: float) -> None:
    result = quantile(values, p)
    assert result.value == pytest.approx(np.quantile(values, p))
    assert min(values) <= result.low <= result.value <= result.high <= max(values)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("n", [40, 99, 250, 1001])
def test_the_interval_of_independent_values_is_scipys(n: int, p: float) -> None:
    rng = np.random.default_rng(n)
    values = rng.lognormal(size=n)
    while correlation_time(values <= np.quantile(values, p)) > 1:
        rng.shuffle(values)
    expected = stats.quantile_test(values, p=p).confidence_interval(0.95)
    result = quantile(list(values), p)
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high))


def test_fewer_values_than_an_interval_needs_give_their_range() -> None:
    assert median([3, 1, 2]) == Estimate(2, 1, 3)
    assert median([4]) == Estimate(4, 4, 4)
    assert quantile([1.0, 2.0] * 20, 0.99).high == 2.0


def test_fewest_is_where_the_range_covers() -> None:
    assert 2 * 0.5**FEWEST < 0.05 <= 2 * 0.5 ** (FEWEST - 1)


@pytest.mark.parametrize(("keep", "expected"), [(0.0, 1.0), (0.5, 3.0), (0.9, 19.0)])
def test_the_correlation_time_is_that_of_theory(keep: float, expected: float) -> None:
    # Of the Gaussian process itself it is (1 + keep) / (1 - keep); that of its sign is
    # 1 + 2 sum of (2 / pi) asin(keep^k) (the arcsine law).
    lags = np.arange(1, 400)
    law = 1 + 2 * np.sum(2 / np.pi * np.arcsin(keep**lags))
    values = correlated(np.random.default_rng(0), 20_000, keep)
    assert correlation_time(values <= 0) == pytest.approx(law, rel=0.25)
    assert law <= expected


def test_values_that_swing_back_count_once_each() -> None:
    assert correlation_time(np.arange(100) % 2 == 0) == 1.0
    assert correlation_time(np.ones(50, dtype=np.bool_)) == 1.0


@pytest.mark.parametrize("n", [10, 40])
def test_the_interval_covers_what_it_promises(n: int) -> None:
    rng = np.random.default_rng(1)
    # Latencies: a floor, a long tail, now and then a stall.
    samples = 1 + rng.gamma(0.5, 0.05, (1000, n)) + (rng.random((1000, n)) < 0.05)
    truth = np.median(1 + rng.gamma(0.5, 0.05, 10**6) + (rng.random(10**6) < 0.05))
    covered = [m.low <= truth <= m.high for m in (median(list(row)) for row in samples)]
    assert 0.94 < np.mean(covered) < 0.995


def test_the_interval_of_values_that_hang_together_is_wide_enough() -> None:
    rng = np.random.default_rng(2)
    rows = [correlated(rng, 100, 0.7) for _ in range(400)]
    results = [median(list(row)) for row in rows]
    shuffled = [median(list(rng.permutation(row))) for row in rows]
    assert np.mean([m.low <= 0 <= m.high for m in results]) > 0.92
    assert np.mean([m.low <= 0 <= m.high for m in shuffled]) < 0.8
