"""Rounding and zeroing, against textbook updates and against every possible solution."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretune.search.backends.onnx.solvers.factor import damped, looseness, upper
from paretune.search.backends.onnx.solvers.feedback import feed_back
from paretune.search.backends.onnx.solvers.grid import Grid
from paretune.search.backends.onnx.solvers.masking import prune, refit
from paretune.search.backends.onnx.solvers.patterns import (
    BlockPattern,
    Mask,
    NMPattern,
    Pattern,
    UnstructuredPattern,
)
from paretune.search.backends.onnx.solvers.problem import Matrix, Problem
from paretune.search.backends.onnx.solvers.rounding import descend, round_columns
from paretune.search.backends.onnx.solvers.sweep import naive, sweep
from paretune.search.backends.onnx.solvers.uniform import UniformGrid


def autoregressive(columns: int, correlation: float = 0.9) -> Matrix:
    steps = np.arange(columns)
    found: Matrix = correlation ** np.abs(steps[:, None] - steps)
    return found


def low_rank(rng: np.random.Generator, columns: int, rank: int) -> Matrix:
    factors = rng.normal(size=(columns, rank)) * rng.uniform(0.2, 2, (columns, 1))
    found: Matrix = factors @ factors.T + 0.05 * np.eye(columns)
    return found


def problem_of(seed: int, groups: int, rows: int, columns: int) -> Problem:
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(groups, rows, columns))
    kinds = [autoregressive(columns), low_rank(rng, columns, 1 + columns // 4)]
    return Problem(weights, np.stack([kinds[(seed + g) % 2] for g in range(groups)]))


def channel_grid(weights: Matrix, top: int) -> UniformGrid:
    scale = (np.abs(weights).max(axis=-1, keepdims=True) / top).astype(np.float32)
    zeros = np.zeros(weights.shape[-1], np.int64)
    return UniformGrid(np.where(scale > 0, scale, np.float32(1)), zeros, -top, top)


def patterns(inputs: int) -> list[Pattern]:
    return [UnstructuredPattern(0.5), NMPattern(2, 4, inputs), BlockPattern(0.5, 2, inputs)]


@pytest.mark.parametrize("seed", range(4))
def test_factor_is_triangular_and_gives_the_moment_and_its_inverse(seed: int) -> None:
    moment = problem_of(seed, 3, 1, 7).moment
    wanted, factor = damped(moment, 0.01), upper(moment, 0.01)
    np.testing.assert_array_equal(np.tril(factor, -1), 0)
    np.testing.assert_allclose(factor @ factor.mT, wanted, rtol=1e-9, atol=1e-12)
    inverse = np.linalg.inv(wanted)
    np.testing.assert_allclose(looseness(factor), np.einsum("gcc->gc", inverse), rtol=1e-9)


def test_damping_grows_where_rounding_made_the_moment_indefinite() -> None:
    vector = np.ones((6, 1))
    moment = (vector @ vector.T - 0.05 * np.eye(6))[None]
    assert np.linalg.eigvalsh(damped(moment, 0.01)).min() < 0
    assert np.isfinite(upper(moment, 0.01)).all()
    with pytest.raises(ValueError, match="finite"):
        upper(np.full((1, 2, 2), np.nan), 0.01)


def test_a_layer_without_any_input_has_a_factor() -> None:
    factor = upper(np.zeros((2, 3, 3)), 0.01)
    np.testing.assert_allclose(factor, np.stack([0.1 * np.eye(3)] * 2))


def obs(weights: Matrix, moment: Matrix, step: float, zero: np.ndarray) -> Matrix:
    """Optimal brain surgeon for one row, column by column, as the papers write it."""
    weights, inverse, found = weights.copy(), np.linalg.inv(moment), np.zeros(len(weights))
    for column in range(len(weights)):
        wanted = weights[column]
        found[column] = 0.0 if zero[column] else np.round(wanted / step) * step
        weights -= inverse[:, column] * (wanted - found[column]) / inverse[column, column]
        inverse -= np.outer(inverse[:, column], inverse[column]) / inverse[column, column]
        # What is decided takes no further part.
        inverse[column], inverse[:, column] = 0, 0
        inverse[column, column] = 1
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("width", [1, 3, 9])
def test_feedback_is_optimal_brain_surgeon(seed: int, width: int) -> None:
    problem = problem_of(seed, 1, 2, 9)
    zero = np.random.default_rng(seed).uniform(size=(1, 2, 9)) < 0.4
    found = feed_back(
        problem.weights,
        upper(problem.moment, 0.01),
        [slice(s, s + width) for s in range(0, 9, width)],
        lambda window, _: ~zero[..., window],
        lambda _, wanted: np.round(wanted / 0.25) * 0.25,
    )
    moment = damped(problem.moment, 0.01)[0]
    for row in range(2):
        wanted = obs(problem.weights[0, row], moment, 0.25, zero[0, row])
        np.testing.assert_allclose(found[0, row], wanted, atol=1e-9)


def test_rounding_is_close_to_the_best_of_all_roundings() -> None:
    ratios = []
    for seed in range(20):
        problem = problem_of(seed, 1, 1, 8)
        grid = channel_grid(problem.weights, 1)
        levels = np.array(list(itertools.product((-1, 0, 1), repeat=8))) * grid.scales()[0]
        change = problem.weights[0] - levels
        best = np.einsum("sc,cd,sd->s", change, problem.moment[0], change).min()
        ratios.append(problem.error(sweep(problem, grid)) / best)
    assert min(ratios) > 1 - 1e-9
    # Nearest values are at 4 times the best.
    assert np.median(ratios) < 1.2
    assert np.mean(ratios) < 1.4


def best_masked(problem: Problem, kept: int) -> float:
    """The least error of all masks of a single row, each with its least-squares weights."""
    weights, moment = problem.weights[0, 0], problem.moment[0]
    root = np.linalg.cholesky(moment + 1e-12 * np.eye(len(weights))).T
    errors = []
    for chosen in itertools.combinations(range(len(weights)), kept):
        there = root[:, list(chosen)]
        fitted = np.linalg.lstsq(there, root @ weights, rcond=None)[0]
        errors.append(float(np.square(root @ weights - there @ fitted).sum()))
    return min(errors)


def test_zeros_are_close_to_the_best_of_all_masks() -> None:
    ratios = []
    for seed in range(10):
        problem = problem_of(seed, 1, 1, 9)
        found = sweep(problem, None, UnstructuredPattern(0.5))
        assert (found == 0).sum() == 4
        ratios.append(problem.error(found) / best_masked(problem, 5))
    assert min(ratios) > 1 - 1e-6
    assert np.median(ratios) < 1.1
    assert np.mean(ratios) < 1.5


@pytest.mark.parametrize("seed", range(12))
def test_without_correlation_the_best_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights, own = rng.normal(size=8), rng.uniform(0, 3, 8)
    problem = Problem(weights[None, None], np.diag(own)[None])
    grid = channel_grid(problem.weights, 1)
    near = grid.nearest(problem.weights)[0, 0]
    np.testing.assert_array_equal(sweep(problem, grid)[0, 0], near)
    for values, of in ((weights, None), (near, grid)):
        errors = [
            (own * (weights - np.isin(np.arange(8), chosen) * values) ** 2).sum()
            for chosen in itertools.combinations(range(8), 4)
        ]
        found = sweep(problem, of, UnstructuredPattern(0.5))
        assert problem.error(found) == pytest.approx(min(errors))


@pytest.mark.parametrize("seed", range(3))
def test_refitted_weights_are_those_of_least_squares(seed: int) -> None:
    problem = problem_of(seed, 2, 3, 8)
    kept = np.random.default_rng(seed).uniform(size=(2, 3, 8)) < 0.6
    start = np.where(kept, problem.weights, 0)
    found = refit(problem, start, kept, 60)
    assert (found[~kept] == 0).all()
    assert (problem.errors(refit(problem, start, kept, 2)) <= problem.errors(start)).all()
    for g, r in np.ndindex(2, 3):
        here, root = kept[g, r], np.linalg.cholesky(problem.moment[g]).T
        wanted = np.linalg.lstsq(root[:, here], root @ problem.weights[g, r], rcond=None)[0]
        np.testing.assert_allclose(found[g, r, here], wanted, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_descent_ends_where_no_single_weight_can_do_better(seed: int) -> None:
    problem = problem_of(seed, 1, 4, 12)
    grid = channel_grid(problem.weights, 3)
    kept = np.random.default_rng(seed).uniform(size=problem.weights.shape) < 0.8
    smooth = Problem(problem.weights, damped(problem.moment, 0.01))
    start = naive(problem, grid) * kept
    found = start
    for _ in range(5):
        found = descend(problem, found, grid, kept)
    assert (found[~kept] == 0).all()
    assert smooth.error(found) < smooth.error(start)
    for column in range(12):
        for code in range(-3, 4):
            other = found.copy()
            other[..., column] = kept[..., column] * code * grid.scales()[..., column]
            assert (smooth.errors(other) >= smooth.errors(found) * (1 - 1e-6)).all()


@pytest.mark.parametrize("kind", [0, 1])
def test_errors_are_a_fraction_of_the_naive_ones(kind: int) -> None:
    problem = problem_of(kind, 1, 32, 160)
    grid = channel_grid(problem.weights, 7)
    assert problem.error(sweep(problem, grid)) < 0.5 * problem.error(naive(problem, grid))
    for pattern in patterns(32):
        before = problem.error(naive(problem, None, pattern))
        assert problem.error(sweep(problem, None, pattern)) < 0.5 * before
        before = problem.error(naive(problem, grid, pattern))
        assert problem.error(sweep(problem, grid, pattern)) < 0.6 * before


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3))
def test_patterns_hold_on_the_grid_and_nothing_is_worse_than_naive(
    seed: int, groups: int, rows: int, positions: int
) -> None:
    rng = np.random.default_rng(seed)
    inputs, rank = int(rng.integers(4, 10)), int(rng.integers(0, 12))
    samples = rng.normal(size=(groups, rank, positions * inputs))
    samples *= rng.uniform(size=(groups, 1, positions * inputs)) < 0.7
    weights = rng.normal(size=(groups, rows, positions * inputs))
    problem = Problem(weights, samples.mT @ samples)
    grid = channel_grid(weights, int(rng.choice([1, 7, 127])))
    rounded = sweep(problem, grid)
    np.testing.assert_array_equal(grid.nearest(rounded), rounded)
    assert (problem.errors(rounded) <= problem.errors(naive(problem, grid))).all()
    for pattern in patterns(inputs):
        for of in (None, grid):
            found = sweep(problem, of, pattern)
            # Zeros of the grid may be more, and then some choice of them has the pattern.
            zero = ~pattern.keep(np.abs(found))
            assert (found[zero] == 0).all()
            assert of is None or (grid.nearest(found) == found).all()
            assert problem.error(found) <= problem.error(naive(problem, of, pattern))


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("kind", ["zero", "one sample", "dead", "constant", "one dead group"])
def test_poor_statistics_give_finite_weights(kind: str, size: float) -> None:
    rng = np.random.default_rng(0)
    sample = rng.normal(size=(2, 1, 12))
    moment = sample.mT @ sample
    match kind:
        case "zero":
            moment[:] = 0
        case "dead":
            moment = np.stack([autoregressive(12)] * 2)
            moment[:, 3:9] = moment[:, :, 3:9] = 0
        case "constant":
            moment[:] = 1
        case "one dead group":
            moment[1] = 0
    problem = Problem(rng.normal(size=(2, 3, 12)), moment * size)
    grid = channel_grid(problem.weights, 7)
    cases: list[tuple[Grid | None, Pattern | None]] = [(grid, None)]
    cases += [(of, pattern) for pattern in patterns(12) for of in (None, grid)]
    for of, pattern in cases:
        found = sweep(problem, of, pattern)
        assert np.isfinite(found).all()
        assert problem.error(found) <= problem.error(naive(problem, of, pattern))
        assert np.abs(found).max() < 100


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_weights_of_dead_inputs_are_the_first_to_go(kind: int) -> None:
    problem, pattern = problem_of(0, 1, 4, 12), patterns(12)[kind]
    moment = problem.moment.copy()
    moment[:, 4:8] = moment[:, :, 4:8] = 0
    large = problem.weights.copy()
    large[..., 4:8] *= 1e6
    found, kept = prune(Problem(large, moment), pattern)
    expected, same = prune(Problem(problem.weights, moment), pattern)
    np.testing.assert_array_equal(kept, same)
    np.testing.assert_allclose(found * kept, expected * kept * (large / problem.weights))
    if isinstance(pattern, UnstructuredPattern):
        assert not kept[..., 4:8].any()


def test_weights_of_dead_inputs_are_rounded_to_nearest() -> None:
    problem = problem_of(0, 1, 4, 12)
    moment = problem.moment.copy()
    moment[:, 4:8] = moment[:, :, 4:8] = 0
    grid = channel_grid(problem.weights, 7)
    found = sweep(Problem(problem.weights, moment), grid)
    np.testing.assert_array_equal(found[..., 4:8], grid.nearest(problem.weights[..., 4:8], 4))


def test_no_zeros_change_nothing() -> None:
    problem = problem_of(0, 2, 3, 12)
    for pattern in (UnstructuredPattern(0), BlockPattern(0, 4, 12), NMPattern(4, 4, 12), None):
        np.testing.assert_array_equal(sweep(problem, None, pattern), problem.weights)
    exact = channel_grid(problem.weights, 7).nearest(problem.weights)
    on_grid = Problem(exact, problem.moment)
    np.testing.assert_array_equal(sweep(on_grid, channel_grid(problem.weights, 7)), exact)


def test_same_problem_same_bytes() -> None:
    one, other = problem_of(3, 1, 8, 40), problem_of(3, 1, 8, 40)
    grid = channel_grid(one.weights, 7)
    cases = [(grid, None), *((of, p) for p in patterns(40) for of in (None, grid))]
    for of, pattern in cases:
        assert sweep(one, of, pattern).tobytes() == sweep(other, of, pattern).tobytes()


def test_groups_are_solved_as_each_alone() -> None:
    weights = np.random.default_rng(0).normal(size=(3, 4, 16))
    # One diagonal: columns are taken in the same order.
    moment = np.stack([autoregressive(16, c) for c in (0.3, 0.8, 0.95)])
    problem = Problem(weights, moment)
    grid = channel_grid(weights, 3)
    whole, zeros = sweep(problem, grid), sweep(problem, None, NMPattern(2, 4, 16))
    for g in range(3):
        alone = Problem(weights[g : g + 1], moment[g : g + 1])
        own = UniformGrid(grid.scale[g : g + 1], grid.block_of, -3, 3)
        np.testing.assert_array_equal(sweep(alone, own)[0], whole[g])
        # Which masks are tried is decided for all groups at once, what they are is not.
        pruned, kept = prune(alone, NMPattern(2, 4, 16))
        assert NMPattern(2, 4, 16).keep(np.abs(zeros[g : g + 1])).sum() == kept.sum()
        assert problem.errors(zeros)[g].sum() < 1.3 * alone.error(pruned)


def test_the_naive_mask_is_the_last_resort(monkeypatch: pytest.MonkeyPatch) -> None:
    def bad(problem: Problem, *_: object) -> tuple[Matrix, Mask]:
        kept = UnstructuredPattern(0.5).keep(-np.square(problem.weights))
        return problem.weights * kept, kept

    monkeypatch.setattr("paretune.search.backends.onnx.solvers.sweep.prune", bad)
    problem, pattern = problem_of(0, 1, 4, 12), UnstructuredPattern(0.5)
    found = sweep(problem, None, pattern)
    np.testing.assert_array_equal(found, naive(problem, None, pattern))


def test_rounding_starts_from_weights_that_were_re_fitted() -> None:
    problem = problem_of(1, 1, 6, 24)
    grid = channel_grid(problem.weights, 7)
    pruned, kept = prune(problem, UnstructuredPattern(0.5))
    fitted = round_columns(Problem(pruned, problem.moment), grid, kept)
    masked = round_columns(Problem(problem.weights * kept, problem.moment), grid, kept)
    assert problem.error(fitted) < problem.error(masked)
    assert (fitted[~kept] == 0).all()
