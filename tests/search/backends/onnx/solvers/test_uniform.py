"""Grids with scales, against a look at every level; scales against a look at every rounding."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paretune.search.backends.onnx.solvers.clipping import clipped
from paretune.search.backends.onnx.solvers.problem import Matrix, Problem
from paretune.search.backends.onnx.solvers.uniform import LevelGrid, ScaledGrid, UniformGrid


def blocks_of(columns: int, blocks: int) -> np.ndarray:
    found: np.ndarray = np.arange(columns) % blocks
    return found


def scales(rng: np.random.Generator, blocks: int) -> np.ndarray:
    signs = rng.choice([-1, 1], (2, 3, blocks))
    found: np.ndarray = (rng.uniform(0.1, 2, (2, 3, blocks)) * signs).astype(np.float32)
    return found


def grids(rng: np.random.Generator, columns: int) -> list[tuple[ScaledGrid, Matrix]]:
    """Grids of 2 groups and 3 rows, with their levels."""
    blocks = blocks_of(columns, 3)
    four = np.arange(-8.0, 8)
    return [
        (UniformGrid(scales(rng, 3), blocks, -8, 7), four),
        (UniformGrid(scales(rng, 1), np.zeros(columns, int), -1, 1), np.arange(-1.0, 2)),
        (LevelGrid(scales(rng, 3), blocks, four), four),
        (LevelGrid(scales(rng, 3), blocks, np.array([-1.0, 1.0])), np.array([-1.0, 1.0])),
        (LevelGrid(scales(rng, 3), blocks, np.array([-2, -0.5, 3])), np.array([-2, -0.5, 3])),
    ]


@pytest.mark.parametrize("index", range(5))
def test_nothing_is_nearer(index: int) -> None:
    rng = np.random.default_rng(index)
    grid, levels = grids(rng, 8)[index]
    weights = rng.normal(0, 5, (2, 3, 8))
    found = grid.nearest(weights)
    wide = grid.scale[..., grid.block_of].astype(np.float64)
    possible = wide[..., None] * levels
    assert (np.abs(possible - found[..., None]).min(axis=-1) == 0).all()
    least = np.abs(possible - weights[..., None]).min(axis=-1)
    np.testing.assert_allclose(np.abs(found - weights), least, rtol=1e-5)


@pytest.mark.parametrize("index", range(5))
def test_codes_are_what_is_stored_and_nearest_values_stay(index: int) -> None:
    rng = np.random.default_rng(index)
    grid, levels = grids(rng, 8)[index]
    found = grid.nearest(rng.normal(0, 5, (2, 3, 8)))
    codes = grid.codes(found)
    table = levels[codes] if isinstance(grid, LevelGrid) else codes
    np.testing.assert_array_equal(table * grid.scales(), found)
    np.testing.assert_array_equal(grid.nearest(found), found)


@pytest.mark.parametrize("index", range(5))
def test_some_columns_are_rounded_as_all_are(index: int) -> None:
    rng = np.random.default_rng(index)
    grid, _ = grids(rng, 8)[index]
    weights = rng.normal(0, 5, (2, 3, 8))
    whole = grid.nearest(weights)
    np.testing.assert_array_equal(grid.nearest(weights[..., 5:7], 5), whole[..., 5:7])


@example(0.762799084186554, 0.006226931232959032)  # 122.5 in float32, more in float64
@given(
    st.floats(-(2.0**100), 2.0**100, width=32),
    st.floats(2.0**-100, 2.0**100, width=32),
)
def test_integers_are_those_of_a_division_in_float32(weight: float, scale: float) -> None:
    with np.errstate(over="ignore", under="ignore"):
        wanted = np.clip(np.round(np.float32(weight) / np.float32(scale)), -127, 127)
    grid = UniformGrid(np.full((1, 1, 1), scale, np.float32), np.zeros(1, int), -127, 127)
    matrix = np.full((1, 1, 1), weight)
    assert grid.codes(grid.nearest(matrix))[0, 0, 0] == wanted


def absmax(weights: Matrix, block_of: np.ndarray, top: int) -> UniformGrid:
    blocks = [np.abs(weights[..., block_of == b]).max(axis=-1) for b in range(block_of.max() + 1)]
    scale = (np.stack(blocks, axis=-1) / top).astype(np.float32)
    return UniformGrid(np.where(scale > 0, scale, np.float32(1)), block_of, -top, top)


def correlated(rng: np.random.Generator, groups: int, columns: int) -> Matrix:
    samples = rng.normal(size=(groups, 50, columns)) * rng.uniform(0.1, 3, columns)
    samples += rng.normal(size=(groups, 50, 1))
    found: Matrix = samples.mT @ samples / 50
    return found


@pytest.mark.parametrize("top", [1, 3, 7, 127])
@pytest.mark.parametrize("seed", range(3))
def test_clipping_makes_no_row_worse(top: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.standard_t(3, (2, 5, 24))
    problem = Problem(weights, correlated(rng, 2, 24))
    plain = absmax(weights, blocks_of(24, 4), top)
    found = clipped(problem, plain)
    before, after = (problem.errors(grid.nearest(weights)) for grid in (plain, found))
    assert (after <= before).all()
    if top < 127:
        assert after.sum() < 0.95 * before.sum()


@pytest.mark.parametrize("seed", range(6))
def test_ternary_scale_is_nearly_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights, own = rng.normal(size=6), rng.uniform(0.1, 2, 6)
    best = np.inf
    for codes in itertools.product((-1, 0, 1), repeat=6):
        levels = np.array(codes)
        power = (own * levels**2).sum()
        scale = (own * levels * weights).sum() / power if power else 0.0
        best = min(best, (own * (weights - scale * levels) ** 2).sum())
    problem = Problem(weights[None, None], np.diag(own)[None])
    grid = clipped(problem, absmax(problem.weights, np.zeros(6, int), 1))
    error = problem.error(grid.nearest(problem.weights))
    assert best * (1 - 1e-6) <= error <= best * 1.02


def test_no_scale_is_below_the_least() -> None:
    rng = np.random.default_rng(0)
    weights = rng.standard_t(2, (1, 4, 32))
    plain = absmax(weights, np.zeros(32, int), 1)
    least = plain.scale[..., 0] * np.array([0.5, 0.7, 0.9, 1.0], np.float32)
    problem = Problem(weights, np.eye(32)[None])
    free, found = clipped(problem, plain), clipped(problem, plain, least)
    assert (free.scale[..., 0] < least).any()
    assert (found.scale[..., 0] >= least).all()
    upside_down = UniformGrid(-plain.scale, plain.block_of, -1, 1)
    np.testing.assert_array_equal(clipped(problem, upside_down, least).scale, -found.scale)


@pytest.mark.parametrize("moment", [0.0, 1e-300, 1e12])
@pytest.mark.parametrize("size", [0.0, 1e-37, 1e30])
def test_scales_stay_finite_and_not_zero(moment: float, size: float) -> None:
    weights = np.random.default_rng(0).normal(size=(1, 2, 8)) * size
    weights[0, 1] = 0
    grid = absmax(weights, blocks_of(8, 2), 7)
    found = clipped(Problem(weights, moment * np.eye(8)[None]), grid)
    assert np.isfinite(found.scale).all()
    assert (found.scale != 0).all()
    assert np.isfinite(found.nearest(weights)).all()
