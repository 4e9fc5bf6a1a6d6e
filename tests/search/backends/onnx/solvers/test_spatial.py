"""Separable convolutions: against scipy's optimizer and least squares on tiny kernels."""

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
from numpy.typing import NDArray

from paretune.search.backends.onnx.solvers.lowrank import Factors, factor, factor_plainly
from paretune.search.backends.onnx.solvers.problem import Matrix, Problem
from paretune.search.backends.onnx.solvers.spatial import (
    Kernel,
    factor_spatially,
    folded,
    refit_left,
)

KERNEL = Kernel(2, 3)


def problem(rows: int, inputs: int, kernel: Kernel = KERNEL, *, seed: int = 0) -> Problem:
    """Neighbouring pixels are alike, as in images."""
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((60, inputs, 12, 12)).cumsum(2).cumsum(3)
    images *= np.geomspace(1, 0.1, inputs)[:, None, None]
    windows = np.lib.stride_tricks.sliding_window_view(
        images, (kernel.height, kernel.width), axis=(2, 3)
    )
    columns = windows[:, :, ::4, ::4].transpose(0, 2, 3, 4, 5, 1)
    columns = columns.reshape(-1, kernel.height * kernel.width * inputs)
    weights = rng.standard_normal((1, rows, columns.shape[1]))
    return Problem(weights, (columns.T @ columns / len(columns))[None])


def unfolded(factors: Factors, kernel: Kernel = KERNEL) -> Matrix:
    return kernel.unfold(factors.product)


def test_folding() -> None:
    kernel = np.arange(2 * 3 * 2 * 4).reshape(2, 3, 2, 4)  # out, in, height, width
    weights = np.moveaxis(kernel, 1, -1).reshape(1, 2, -1).astype(np.float64)
    folded = Kernel(2, 4).fold(weights)
    for (o, i, y, x), value in np.ndenumerate(kernel):
        assert folded[0, o * 4 + x, y * 3 + i] == value
    np.testing.assert_array_equal(Kernel(2, 4).unfold(folded), weights)


def test_folded_moment() -> None:
    """What `fold_moment` claims: the error of columns that have nothing to do with each other."""
    one = problem(3, 2)
    apart = one.moment[0].reshape(2, 3, 2, 2, 3, 2).copy()
    mean = KERNEL.fold_moment(one.moment)[0].reshape(2, 2, 2, 2) / 3
    for x in range(3):
        for other in range(3):
            apart[:, x, :, :, other] = mean if x == other else 0
    change = np.random.default_rng(1).standard_normal(one.weights.shape)
    whole = Problem(change, apart.reshape(1, 12, 12)).error(np.zeros_like(change))
    apart = folded(Problem(change, one.moment), KERNEL)
    assert apart.error(np.zeros_like(apart.weights)) == pytest.approx(3 * whole)


def test_unrelated_inputs_make_it_the_singular_value_decomposition() -> None:
    weights = np.random.default_rng(0).standard_normal((1, 4, 12))
    one = Problem(weights, np.eye(12)[None])
    left, power, right = scipy.linalg.svd(KERNEL.fold(weights)[0], full_matrices=False)
    for rank in range(1, 5):
        exact = left[:, :rank] * power[:rank] @ right[:rank]
        found = factor_spatially(one, rank, KERNEL).product[0]
        np.testing.assert_allclose(found, exact, atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_close_to_the_best_that_many_starts_find(seed: int) -> None:
    one = problem(2, 1, Kernel(2, 2), seed=seed)
    kernel = Kernel(2, 2)

    def error(values: NDArray[np.float64]) -> float:
        factors = Factors(values[:4].reshape(1, 4, 1), values[4:].reshape(1, 1, 2))
        return one.error(unfolded(factors, kernel))

    rng = np.random.default_rng(seed)
    starts = (rng.standard_normal(6) for _ in range(20))
    best = min(scipy.optimize.minimize(error, start).fun for start in starts)
    found = one.error(unfolded(factor_spatially(one, 1, kernel), kernel))
    assert best * 0.999 <= found <= best * 1.05


@pytest.mark.parametrize("seed", range(4))
def test_given_one_factor_the_other_is_least_squares(seed: int) -> None:
    one = problem(3, 2, seed=seed)
    rank = 2
    found = factor_spatially(one, rank, KERNEL)
    root = scipy.linalg.cholesky(one.moment[0], lower=True)
    wanted = (one.weights[0] @ root).ravel()
    units = np.eye(found.left.size).reshape(-1, *found.left.shape[1:])
    effects = [(KERNEL.unfold(unit @ found.right[0]) @ root).ravel() for unit in units]
    exact, *_ = np.linalg.lstsq(np.stack(effects, axis=1), wanted, rcond=None)
    least = one.error(unfolded(Factors(exact.reshape(found.left.shape), found.right)))
    assert least <= one.error(unfolded(found)) <= least * 1.01


@pytest.mark.parametrize("seed", range(4))
def test_better_than_without_relations_and_without_data(seed: int) -> None:
    one = problem(6, 4, seed=seed)
    apart = folded(one, KERNEL)
    for rank in (1, 3, 6):
        found = one.error(unfolded(factor_spatially(one, rank, KERNEL)))
        assert found < one.error(unfolded(factor(apart, rank)))
        assert found < 0.6 * one.error(unfolded(factor_plainly(apart, rank)))


def test_a_separable_kernel_is_found() -> None:
    rng = np.random.default_rng(0)
    made = Factors(rng.standard_normal((1, 12, 2)), rng.standard_normal((1, 2, 6)))
    one = Problem(unfolded(made), problem(4, 3).moment)
    np.testing.assert_allclose(unfolded(factor_spatially(one, 2, KERNEL)), one.weights, atol=1e-6)


@pytest.mark.parametrize("case", ["dead", "no data", "one sample", "zero weights", "tiny", "huge"])
def test_degenerate_statistics(case: str) -> None:
    full = problem(4, 3)
    moment, weights = full.moment.copy(), full.weights.copy()
    match case:
        case "dead":
            moment[:, ::3] = 0
            moment[:, :, ::3] = 0
        case "no data":
            moment[:] = 0
        case "one sample":
            moment[0] = np.outer(weights[0, 0], weights[0, 0])
        case "zero weights":
            weights[:] = 0
        case "tiny":
            moment *= 1e-24
        case "huge":
            moment *= 1e24
    one = Problem(weights, moment)
    apart = folded(one, KERNEL)
    for rank in range(1, 7):
        found = factor_spatially(one, rank, KERNEL)
        assert np.isfinite(found.left).all()
        assert np.isfinite(found.right).all()
        naive = one.error(unfolded(factor_plainly(apart, rank)))
        assert one.error(unfolded(found)) <= naive * (1 + 1e-9)


def test_spreading() -> None:
    """Outputs made of the inner values, or of the inputs at once."""
    rng = np.random.default_rng(0)
    factors = Factors(rng.standard_normal((1, 4 * 3, 5)), rng.standard_normal((1, 5, 2 * 2)))
    left = factors.left.reshape(1, 4, 3 * 5)
    np.testing.assert_allclose(left @ KERNEL.spread(factors.right), unfolded(factors))


@pytest.mark.parametrize("kernel", [Kernel(6, 1), KERNEL])
def test_left_is_refitted_to_a_rounded_right(kernel: Kernel) -> None:
    one = problem(8, 4)
    exact = factor_spatially(one, 4, kernel)
    rounded = Factors(exact.left, np.round(exact.right * 2) / 2)
    found = refit_left(one, rounded, kernel)
    np.testing.assert_array_equal(found.right, rounded.right)
    before, after = (one.error(unfolded(f, kernel)) for f in (rounded, found))
    root = scipy.linalg.cholesky(one.moment[0], lower=True)
    seen = kernel.spread(rounded.right)[0] @ root
    wanted = one.weights[0] @ root
    least = wanted - np.linalg.lstsq(seen.T, wanted.T, rcond=None)[0].T @ seen
    assert after == pytest.approx(np.square(least).sum(), rel=1e-3)
    assert after < 0.9 * before


def test_without_width_it_is_the_plain_form() -> None:
    one = problem(4, 3)
    found = factor_spatially(one, 2, Kernel(6, 1))
    np.testing.assert_array_equal(found.product, factor(one, 2).product)


def test_same_input_same_bytes() -> None:
    first, second = (factor_spatially(problem(6, 4), 3, KERNEL) for _ in range(2))
    assert first.left.tobytes() == second.left.tobytes()
    assert first.right.tobytes() == second.right.tobytes()


def test_a_rank_out_of_range() -> None:
    with pytest.raises(ValueError, match="1 <= rank <= 6 must hold, but got rank=7"):
        factor_spatially(problem(4, 3), 7, KERNEL)
