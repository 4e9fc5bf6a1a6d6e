"""Palettes against plain k-means and against least squares."""

import numpy as np
import pytest

from paretune.search.backends.onnx.solvers.palette import (
    Codes,
    PaletteGrid,
    fit_palette,
    refit_table,
)
from paretune.search.backends.onnx.solvers.problem import Matrix, Problem

RNG = np.random.default_rng(0)


def problem(groups: int = 1, rows: int = 6, columns: int = 9, samples: int = 40) -> Problem:
    """Correlated inputs, some of them much larger than others."""
    mixing = RNG.standard_normal((groups, columns, columns)) * 3.0 ** RNG.integers(-3, 3, columns)
    inputs = RNG.standard_normal((groups, samples, columns)) @ mixing
    weights = RNG.standard_normal((groups, rows, columns)).astype(np.float32)
    moment = inputs.transpose(0, 2, 1) @ inputs / samples
    return Problem(weights.astype(np.float64), moment)


def least_squares(one: Problem, codes: Codes, count: int) -> Matrix:
    """The best table by `numpy.linalg.lstsq`, entry by entry of the outputs."""
    design, wanted = [], []
    for weights, rows, moment in zip(one.weights, codes, one.moment, strict=True):
        values, vectors = np.linalg.eigh(moment)
        root = vectors * np.sqrt(np.maximum(values, 0))
        for row, own in zip(weights, rows, strict=True):
            design.append(root.T @ (own[:, None] == np.arange(count)))
            wanted.append(root.T @ row)
    table: Matrix = np.linalg.lstsq(np.concatenate(design), np.concatenate(wanted))[0]
    return table


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_never_worse_than_plain_k_means(bits: int) -> None:
    gains = []
    for _ in range(20):
        one = problem(groups=2)
        found, plain = fit_palette(one, bits), fit_palette(one, bits, naive=True)
        assert found.table.shape == plain.table.shape == (2**bits,)
        assert (np.diff(found.table) >= 0).all()
        errors = [one.error(grid.nearest(one.weights)) for grid in (found, plain)]
        assert errors[0] <= errors[1]
        gains.append(errors[0] / errors[1])
    assert np.median(gains) < 0.9


def test_inputs_that_matter_are_represented_best() -> None:
    """One of two inputs is a thousand times as large: its weights get nearly all of the table."""
    weights = RNG.standard_normal((1, 64, 2)).astype(np.float32).astype(np.float64)
    one = Problem(weights, np.diag([1e6, 1.0])[None])
    change = np.abs(fit_palette(one, 3).nearest(weights) - weights).mean(axis=1)[0]
    plain = np.abs(fit_palette(one, 3, naive=True).nearest(weights) - weights).mean(axis=1)[0]
    assert change[0] < plain[0]
    assert change[1] > plain[1]


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_the_table_is_the_least_squares_solution(groups: int, bits: int) -> None:
    for _ in range(10):
        one = problem(groups)
        grid = fit_palette(one, bits)
        before = grid.nearest(one.weights)
        codes = grid.codes(before)
        refitted, after = refit_table(one, grid, before, steps=4 * 2**bits)
        best = least_squares(one, codes, 2**bits)[codes]
        assert one.error(after) == pytest.approx(one.error(best), rel=1e-3)
        assert one.error(after) < one.error(before)
        np.testing.assert_array_equal(refitted.nearest(after), after)
        # Weights that shared a value still share one.
        assert len(np.unique(after)) <= len(np.unique(before))


def test_a_few_steps_never_make_it_worse() -> None:
    for steps in range(8):
        one = problem()
        grid = fit_palette(one, 3)
        rough = PaletteGrid(grid.table + np.float32(0.05))
        before = rough.nearest(one.weights)
        _, after = refit_table(one, rough, before, steps)
        assert one.error(after) <= one.error(before)


def test_zeros_stay_zeros() -> None:
    one = problem(rows=30)
    pruned = np.where(np.abs(one.weights) > 0.7, one.weights, 0)
    grid = fit_palette(Problem(pruned, one.moment), 3, zero=True)
    assert np.count_nonzero(grid.table == 0) == 1
    before = np.where(pruned != 0, grid.nearest(pruned), 0)
    refitted, after = refit_table(one, grid, before)
    assert one.error(after) < one.error(before)
    assert (after[pruned == 0] == 0).all()
    assert (refitted.nearest(np.zeros((1, 1, 1))) == 0).all()
    np.testing.assert_array_equal(refitted.nearest(after), after)


@pytest.mark.parametrize("naive", [False, True])
def test_few_values_are_kept_as_they_are(naive: bool) -> None:
    values = RNG.standard_normal(16).astype(np.float32).astype(np.float64)
    weights = RNG.choice(values, (2, 8, 20))
    one = Problem(weights, np.broadcast_to(np.eye(20), (2, 20, 20)))
    np.testing.assert_array_equal(fit_palette(one, 4, naive=naive).nearest(weights), weights)
    short = fit_palette(Problem(weights[..., :1], np.ones((2, 1, 1))), 8, naive=naive)
    assert short.table.shape == (256,)
    np.testing.assert_array_equal(short.nearest(weights[..., :1]), weights[..., :1])


@pytest.mark.parametrize("moment", ["dead", "half dead", "one sample", "constant", "tiny", "huge"])
@pytest.mark.parametrize("zero", [False, True])
def test_degenerate_statistics(moment: str, zero: bool) -> None:
    sample = RNG.standard_normal(10)
    moments = {
        "dead": np.zeros((10, 10)),
        "half dead": np.diag(np.arange(10) % 2.0),
        "one sample": np.outer(sample, sample),
        "constant": np.ones((10, 10)),
        "tiny": np.eye(10) * 1e-200,
        "huge": np.eye(10) * 1e200,
    }
    weights = RNG.standard_normal((1, 30, 10))
    for scale in (0.0, 1e-30, 1.0, 1e30):
        one = Problem((weights * scale).astype(np.float32).astype(float), moments[moment][None])
        grid = fit_palette(one, 3, zero=zero)
        found = grid.nearest(one.weights)
        refitted, after = refit_table(one, grid, found)
        assert np.isfinite(refitted.table).all()
        assert one.error(after) <= one.error(found)
        plain = fit_palette(one, 3, zero=zero, naive=True)
        assert one.error(found) <= one.error(plain.nearest(one.weights))
        if moment in ("dead", "half dead"):
            # Where no input says what matters, the table still resembles the weights.
            assert np.abs(found - one.weights).mean() <= 0.5 * np.abs(one.weights).mean()


def test_the_same_twice() -> None:
    one = problem(rows=200, columns=30)
    first, second = fit_palette(one, 4), fit_palette(Problem(one.weights, one.moment.copy()), 4)
    np.testing.assert_array_equal(first.table, second.table)
