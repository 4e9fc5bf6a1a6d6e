"""Low-rank factors against scipy, and on statistics that leave nothing to divide by."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from paretune.search.backends.onnx.solvers.lowrank import Factors, factor, factor_plainly
from paretune.search.backends.onnx.solvers.problem import Problem

CASES = ["full", "dead", "deficient", "one sample", "no data", "tiny", "huge", "zero weights"]


def problem(rows: int, columns: int, *, seed: int = 0, case: str = "full") -> Problem:
    """Correlated inputs of very different power."""
    rng = np.random.default_rng(seed)
    samples = {"deficient": max(1, columns // 2), "one sample": 1}.get(case, 4 * columns)
    inputs = rng.standard_normal((samples, columns)) @ rng.standard_normal((columns, columns))
    inputs *= np.geomspace(10, 0.1, columns)
    inputs *= {"no data": 0.0, "tiny": 1e-12, "huge": 1e12}.get(case, 1.0)
    if case == "dead":
        inputs[:, ::3] = 0
    weights = rng.standard_normal((1, rows, columns)) * (case != "zero weights")
    return Problem(weights, (inputs.T @ inputs / samples)[None])


SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(SHAPES, st.integers(0, 99))
def test_with_unrelated_inputs_it_is_the_singular_value_decomposition(
    shape: tuple[int, int], seed: int
) -> None:
    weights = np.random.default_rng(seed).standard_normal((1, *shape))
    one = Problem(weights, np.eye(shape[1])[None])
    left, power, right = scipy.linalg.svd(weights[0], full_matrices=False)
    for rank in range(1, min(shape) + 1):
        exact = left[:, :rank] * power[:rank] @ right[:rank]
        np.testing.assert_allclose(factor(one, rank).product[0], exact, atol=1e-9)


@given(SHAPES, st.integers(0, 99))
def test_the_error_is_what_the_discarded_directions_carried(
    shape: tuple[int, int], seed: int
) -> None:
    """Eckart and Young for W H^{1/2}, with another root than the solver's."""
    one = problem(*shape, seed=seed)
    power = scipy.linalg.svdvals(one.weights[0] @ scipy.linalg.cholesky(one.moment[0], lower=True))
    for rank in range(1, min(shape) + 1):
        least = float(np.square(power[rank:]).sum())
        found = one.error(factor(one, rank).product)
        assert found == pytest.approx(least, rel=1e-6, abs=1e-9 * np.square(power).sum())


@pytest.mark.parametrize("case", CASES)
@given(shape=SHAPES, seed=st.integers(0, 99))
def test_never_worse_than_without_data(case: str, shape: tuple[int, int], seed: int) -> None:
    one = problem(*shape, seed=seed, case=case)
    for rank in range(1, min(shape) + 1):
        found = factor(one, rank)
        assert found.left.shape == (1, shape[0], rank)
        assert found.right.shape == (1, rank, shape[1])
        assert np.isfinite(found.left).all()
        assert np.isfinite(found.right).all()
        assert one.error(found.product) <= one.error(factor_plainly(one, rank).product)
        # An orthogonal projection: it cannot blow weights up, however the inputs look.
        limit = np.linalg.norm(one.weights) * (1 + 1e-9)
        assert np.linalg.norm(found.product) <= limit


def test_it_is_much_better_where_inputs_differ() -> None:
    one = problem(24, 24)
    assert one.error(factor(one, 6).product) < 0.2 * one.error(factor_plainly(one, 6).product)


def test_ranks_that_the_data_do_not_need_go_to_the_weights() -> None:
    """One sample takes one direction; the others approximate what is left of the weights."""
    one = problem(6, 8, case="one sample")
    sample = scipy.linalg.eigh(one.moment[0])[1][:, -1]
    output = one.weights[0] @ sample
    rest = one.weights[0] - np.outer(output, output @ one.weights[0]) / (output @ output)
    power = scipy.linalg.svdvals(rest)
    for rank in (1, 3, 5):
        found = factor(one, rank).product
        assert one.error(found) < 1e-9 * one.error(np.zeros_like(found))
        distance = np.square(one.weights - found).sum()
        assert distance == pytest.approx(np.square(power[rank - 1 :]).sum())


def test_full_rank_changes_nothing() -> None:
    one = problem(5, 7)
    np.testing.assert_allclose(factor(one, 5).product, one.weights, atol=1e-9)


def test_groups_are_apart() -> None:
    first, second = problem(4, 5, seed=1), problem(4, 5, seed=2)
    both = Problem(
        np.concatenate([first.weights, second.weights]),
        np.concatenate([first.moment, second.moment]),
    )
    found = factor(both, 2).product
    np.testing.assert_array_equal(found[0], factor(first, 2).product[0])
    np.testing.assert_array_equal(found[1], factor(second, 2).product[0])


def test_both_factors_are_of_one_scale() -> None:
    found = factor(problem(6, 9), 4)
    lengths = np.linalg.norm(found.left, axis=1)
    np.testing.assert_allclose(lengths, np.linalg.norm(found.right, axis=2))
    skewed = Factors(found.left * 1e-6, found.right * 1e6).balanced()
    np.testing.assert_allclose(skewed.left, found.left)
    empty = Factors(np.zeros((1, 2, 1)), np.ones((1, 1, 2))).balanced()
    assert not empty.left.any()
    assert not empty.right.any()


def test_same_input_same_bytes() -> None:
    first, second = (factor(problem(12, 20), 5) for _ in range(2))
    assert first.left.tobytes() == second.left.tobytes()
    assert first.right.tobytes() == second.right.tobytes()


@pytest.mark.parametrize("rank", [-1, 0, 4])
@pytest.mark.parametrize("solver", [factor, factor_plainly])
def test_a_rank_out_of_range(rank: int, solver: Callable[[Problem, int], Factors]) -> None:
    with pytest.raises(ValueError, match=f"1 <= rank <= 3 must hold, but got rank={rank}"):
        solver(problem(3, 5), rank)
