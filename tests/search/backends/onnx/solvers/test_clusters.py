"""k-means of numbers against every way to cut them."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.search.backends.onnx.solvers.clusters import cluster
from paretune.search.backends.onnx.solvers.problem import Matrix

RNG = np.random.default_rng(0)


def cost(values: Matrix, weights: Matrix, centres: Matrix) -> float:
    distances = np.square(values[:, None] - centres).min(axis=1)
    return float(weights @ distances)


def least(values: Matrix, weights: Matrix, count: int) -> float:
    """Of all ways to cut the sorted values into `count` runs."""
    order = np.argsort(values)
    values, weights = values[order], weights[order]
    costs = []
    for cuts in combinations(range(1, len(values)), count - 1):
        runs = zip(np.split(values, cuts), np.split(weights, cuts), strict=True)
        costs.append(sum(w @ np.square(v - np.average(v, weights=w)) for v, w in runs))
    return float(min(costs))


@pytest.mark.parametrize("size", [3, 7, 12])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_few_values_are_clustered_as_well_as_possible(size: int, count: int) -> None:
    for _ in range(20):
        values, weights = RNG.standard_t(3, size), RNG.exponential(size=size)
        found = cluster(values, weights, count)
        if size <= count:
            np.testing.assert_array_equal(found, np.sort(values))
        else:
            assert cost(values, weights, found) == pytest.approx(least(values, weights, count))


def test_equal_values_count_together() -> None:
    values = np.array([1.0, 5.0, 1.0, 5.0, 6.0, 1.0])
    np.testing.assert_array_equal(cluster(values, np.ones(6), 3), [1, 5, 6])
    np.testing.assert_allclose(cluster(values, np.ones(6), 2), [1, 16 / 3])
    np.testing.assert_allclose(cluster(values, np.array([1, 1, 1, 1, 2, 1.0]), 1), [25 / 7])


@pytest.mark.parametrize("count", [2, 16, 256])
@pytest.mark.parametrize("tail", [1.5, 100])
def test_many_values_are_clustered_nearly_as_well_as_possible(count: int, tail: float) -> None:
    """Lloyd's rounds from equal weight, equal steps or random values do no better."""
    values = np.clip(RNG.standard_t(tail, 20_000), -50, 50)
    weights = RNG.exponential(size=values.size)
    found = cluster(values, weights, count)
    assert len(found) == count
    assert (np.diff(found) > 0).all()
    ends = np.linspace(0, 1, count)
    starts = [
        np.quantile(values, ends),
        values.min() + ends * np.ptp(values),
        *(np.sort(RNG.choice(values, count, replace=False)) for _ in range(3)),
    ]
    ours = cost(values, weights, found)
    for start in starts:
        centres = start
        for _ in range(60):
            nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, values)
            mass = np.bincount(nearest, weights, count)
            sums = np.bincount(nearest, weights * values, count)
            centres = np.where(mass > 0, sums / np.where(mass > 0, mass, 1), centres)
        assert ours <= cost(values, weights, centres) * 1.001


def test_every_cluster_has_the_mean_of_its_values() -> None:
    values, weights = RNG.standard_normal(5000), RNG.exponential(size=5000)
    found = cluster(values, weights, 16)
    nearest = np.abs(values[:, None] - found).argmin(axis=1)
    for index in range(16):
        own = nearest == index
        assert found[index] == pytest.approx(np.average(values[own], weights=weights[own]))


@pytest.mark.parametrize("size", [2, 5, 300, 3000])
def test_zero_is_one_of_the_centres(size: int) -> None:
    values, weights = RNG.standard_normal(size) + 0.3, np.ones(size)
    found = cluster(values, weights, 4, zero=True)
    assert np.count_nonzero(found == 0) == 1
    assert len(found) <= 4
    if size > 5:
        # The mean of what is nearer to 0 than to others is not 0: it is held there.
        assert cost(values, weights, found) < cost(values, weights, np.array([-1, 0, 1.0]))
    if size <= 3:
        assert cost(values, weights, found) == 0


def test_far_values_and_heavy_ones() -> None:
    """A thousand values of which one is far and one outweighs all."""
    values = np.sort(RNG.standard_normal(1000)) * 1e-3
    weights = np.ones(1000)
    values[-1], weights[500] = 1e6, 1e12
    found = cluster(values, weights, 256)
    assert len(found) == 256
    assert found[-1] == 1e6
    assert np.abs(found - values[500]).min() < 1e-9
    assert cost(values[:-1], np.ones(999), found) < 1e-3


@given(
    st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=30),
    st.integers(2, 8),
    st.booleans(),
)
def test_any_values(numbers: list[float], count: int, zero: bool) -> None:
    values = np.array(numbers)
    found = cluster(values, np.ones(len(values)), count, zero=zero)
    assert 1 <= len(found) <= count
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()
    if len(np.unique(values)) <= count - zero:
        assert np.isin(values, found).all()
