"""Ternary and binary scales against all of them."""

import numpy as np
import pytest

from paretune.search.backends.onnx.solvers.problem import Matrix, Problem
from paretune.search.backends.onnx.solvers.signs import fit_signs

RNG = np.random.default_rng(0)


def diagonal(rows: int = 5, columns: int = 9) -> Problem:
    weights = RNG.standard_normal((2, rows, columns))
    moment = np.stack([np.diag(RNG.exponential(size=columns)) for _ in range(2)])
    return Problem(weights, moment)


def correlated() -> Problem:
    inputs = RNG.standard_normal((2, 30, 9)) @ RNG.standard_normal((2, 9, 9))
    return Problem(RNG.standard_normal((2, 5, 9)), inputs.transpose(0, 2, 1) @ inputs / 30)


@pytest.mark.parametrize("zero", [False, True])
def test_the_best_scale_of_independent_inputs(zero: bool) -> None:
    one = diagonal()
    ours = one.errors(fit_signs(one, zero=zero).nearest(one.weights))
    least = np.full(ours.shape, np.inf)
    levels = np.array([-1, 0, 1]) if zero else np.array([-1, 1])
    for scale in np.linspace(0.001, 4, 4000):
        index = np.abs(one.weights[..., None] - scale * levels).argmin(axis=-1)
        least = np.minimum(least, one.errors(scale * levels[index]))
    np.testing.assert_allclose(ours, least, rtol=1e-3)
    assert (ours <= least + 1e-6).all()


def test_the_naive_rules() -> None:
    one = correlated()
    mean = np.abs(one.weights).mean(axis=2)
    np.testing.assert_allclose(fit_signs(one, zero=False, naive=True).scale[..., 0], mean, 1e-6)
    for index in np.ndindex(2, 5):
        row = np.abs(one.weights[index])
        scale = fit_signs(one, zero=True, naive=True).scale[index][0]
        assert scale == pytest.approx(row[row > 0.7 * row.mean()].mean(), rel=1e-6)


@pytest.mark.parametrize("zero", [False, True])
def test_no_row_is_worse_than_by_the_naive_rule(zero: bool) -> None:
    for _ in range(20):
        one = correlated()
        found, plain = fit_signs(one, zero=zero), fit_signs(one, zero=zero, naive=True)
        errors = [one.errors(grid.nearest(one.weights)) for grid in (found, plain)]
        assert (errors[0] <= errors[1]).all()


@pytest.mark.parametrize("zero", [False, True])
def test_refitted_scales_are_least_squares(zero: bool) -> None:
    one = correlated()
    grid = fit_signs(one, zero=zero, naive=True)
    before = grid.nearest(one.weights)
    refitted, after = grid.refitted(one, before)
    np.testing.assert_array_equal(np.sign(after), np.sign(before))
    np.testing.assert_array_equal(refitted.codes(after), grid.codes(before))
    np.testing.assert_array_equal(refitted.nearest(after), after)
    for group, row in np.ndindex(2, 5):
        root = np.linalg.cholesky(one.moment[group]).T
        sign = root @ np.sign(before[group, row])
        best: Matrix = np.linalg.lstsq(sign[:, None], root @ one.weights[group, row])[0]
        if best[0] > 0:
            assert refitted.scale[group, row, 0] == pytest.approx(best[0], rel=1e-5)


@pytest.mark.parametrize("zero", [False, True])
def test_rows_of_zeros_and_dead_inputs(zero: bool) -> None:
    for moment in (np.zeros((4, 4)), np.eye(4), np.ones((4, 4))):
        weights = np.array([[[0, 0, 0, 0], [0, 0, 0, 1], [1e-40, 0, 0, 0], [-2, 2, 2, -2]]], float)
        one = Problem(weights, moment[None])
        grid = fit_signs(one, zero=zero)
        assert np.isfinite(grid.scale).all()
        assert (grid.scale > 0).all()
        found = grid.nearest(weights)
        np.testing.assert_allclose(found[0, 0], 0, atol=1e-37)
        refitted, after = grid.refitted(one, found)
        assert np.isfinite(after).all()
        assert (refitted.scale > 0).all()
        assert (one.errors(after) <= one.errors(found)).all()
