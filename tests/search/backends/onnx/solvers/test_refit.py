"""Against `numpy.linalg.lstsq` on the samples themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from paretune.search.backends.onnx.solvers.problem import Matrix
from paretune.search.backends.onnx.solvers.refit import refit

KEPT = np.array([0, 2, 3, 6])


def _samples(seed: int, columns: int = 7, count: int = 50) -> Matrix:
    """Correlated, with means that are not 0, shape (count, columns)."""
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((count, columns)) @ rng.standard_normal((columns, columns))
    return np.asarray(mixed + 3 * rng.standard_normal(columns))


def _statistics(x: Matrix) -> tuple[Matrix, Matrix]:
    return (x.T @ x / len(x))[None], x.mean(axis=0)[None]


def _lost(
    weights: Matrix, x: Matrix, found: Matrix, shift: Matrix, kept: NDArray[np.int64]
) -> float:
    """Mean square of what the output changes by, from the samples."""
    return float(np.square(x @ weights.T - x[:, kept] @ found.T - shift).mean(axis=0).sum())


@pytest.mark.parametrize("seed", range(3))
def test_weights_and_bias_are_the_least_squares(seed: int) -> None:
    x, weights = _samples(seed), np.random.default_rng(9).standard_normal((1, 3, 7))
    with_one = np.column_stack([x[:, KEPT], np.ones(len(x))])
    best = np.linalg.lstsq(with_one, x @ weights[0].T)[0].T
    found = refit(weights, *_statistics(x), KEPT, damping=1e-12)
    np.testing.assert_allclose(found.weights[0], best[:, :-1], atol=1e-6)
    np.testing.assert_allclose(found.shift[0], best[:, -1], atol=1e-6)
    assert found.error == pytest.approx(
        _lost(weights[0], x, best[:, :-1], best[:, -1], KEPT), rel=1e-6
    )


def test_without_a_bias_only_the_weights_are_fitted() -> None:
    x, weights = _samples(0), np.random.default_rng(9).standard_normal((1, 3, 7))
    best = np.linalg.lstsq(x[:, KEPT], x @ weights[0].T)[0].T
    found = refit(weights, _statistics(x)[0], None, KEPT, damping=1e-12)
    np.testing.assert_allclose(found.weights[0], best, atol=1e-6)
    assert not found.shift.any()
    assert found.error == pytest.approx(_lost(weights[0], x, best, found.shift[0], KEPT), rel=1e-6)


def test_groups_are_fitted_apart() -> None:
    weights = np.random.default_rng(9).standard_normal((2, 3, 7))
    pairs = [_statistics(_samples(seed)) for seed in (1, 2)]
    moment, mean = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    found = refit(weights, moment, mean, KEPT)
    alone = [refit(weights[g : g + 1], *pairs[g], KEPT) for g in range(2)]
    np.testing.assert_allclose(found.weights, np.concatenate([one.weights for one in alone]))
    np.testing.assert_allclose(found.shift, np.concatenate([one.shift for one in alone]))
    assert found.error == pytest.approx(sum(one.error for one in alone))


def test_nothing_removed_changes_nothing() -> None:
    weights = np.random.default_rng(9).standard_normal((1, 3, 7))
    found = refit(weights, *_statistics(_samples(0)), np.arange(7))
    np.testing.assert_array_equal(found.weights, weights)
    assert not found.shift.any()
    assert found.error == 0


def test_everything_removed_leaves_the_mean_output() -> None:
    x, weights = _samples(0), np.random.default_rng(9).standard_normal((1, 3, 7))
    found = refit(weights, *_statistics(x), np.arange(0))
    assert found.weights.shape == (1, 3, 0)
    output = x @ weights[0].T
    np.testing.assert_allclose(found.shift[0], output.mean(axis=0))
    assert found.error == pytest.approx(output.var(axis=0).sum())


def test_a_copy_stands_in_for_what_is_gone() -> None:
    x = _samples(0)
    x[:, 1] = 2 * x[:, 0] + 5
    weights = np.random.default_rng(9).standard_normal((1, 3, 7))
    found = refit(weights, *_statistics(x), np.array([0, 2, 3, 4, 5, 6]))
    assert found.error < 1e-3 * np.square(weights[0, :, 1]).sum() * x[:, 1].var()
    expected = weights[0, :, 0] + 2 * weights[0, :, 1]
    np.testing.assert_allclose(found.weights[0, :, 0], expected, rtol=0.05)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(
        ["dead", "twin", "constant", "one sample", "zero weights", "scales", "rounded"]
    ),
    st.booleans(),
)
def test_never_worse_than_leaving_out(seed: int, kind: str, biased: bool) -> None:
    rng = np.random.default_rng(seed)
    x, weights = _samples(seed), rng.standard_normal((1, 3, 7))
    match kind:
        case "dead":
            x[:, rng.random(7) < 0.5] = 0
        case "twin":
            x[:, :3] = x[:, 3:6]
        case "constant":
            x[:, rng.random(7) < 0.5] = 1e3
        case "one sample":
            x = x[:1]
        case "zero weights":
            weights[:] = 0
        case "scales":
            x *= 10.0 ** rng.integers(-12, 12, 7)
    moment, mean = _statistics(x)
    if kind == "rounded":
        moment = moment.astype(np.float32).astype(np.float64)
    kept = np.flatnonzero(rng.random(7) < 0.6)
    gone = np.setdiff1d(np.arange(7), kept)
    found = refit(weights, moment, mean if biased else None, kept)
    assert np.isfinite(found.weights).all()
    assert np.isfinite(found.shift).all()
    plain_shift = x[:, gone].mean(axis=0) @ weights[0][:, gone].T if biased else np.zeros(3)
    plain = _lost(weights[0], x, weights[0][:, kept], plain_shift, kept)
    ours = _lost(weights[0], x, found.weights[0], found.shift[0], kept)
    size = float(np.square(x @ weights[0].T).mean(axis=0).sum())
    assert ours <= plain * (1 + 1e-6) + 1e-9 * size
    assert found.error == pytest.approx(ours, rel=1e-3, abs=1e-6 * size)


def test_the_scale_of_an_input_makes_no_difference() -> None:
    x, weights = _samples(0), np.random.default_rng(9).standard_normal((1, 3, 7))
    scales = 10.0 ** np.array([-9, 3, 6, 0, -2, 8, -5])
    found = refit(weights, *_statistics(x), KEPT)
    scaled = refit(weights / scales, *_statistics(x * scales), KEPT)
    np.testing.assert_allclose(scaled.weights * scales[KEPT], found.weights, rtol=1e-6)
