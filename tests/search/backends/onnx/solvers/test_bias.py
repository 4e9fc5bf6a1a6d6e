"""The error that a corrected bias leaves is measured on the samples themselves."""

import numpy as np
import pytest

from paretune.search.backends.onnx.solvers.bias import bias_shift, centred
from paretune.search.backends.onnx.solvers.problem import Problem


def _case(seed: int, samples: int = 50) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs (groups, samples, columns) with means far from 0, weights before and after."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((2, samples, 5)) + 10 * rng.standard_normal((2, 1, 5))
    weights = rng.standard_normal((2, 3, 5))
    return inputs, weights, np.round(weights * 2) / 2


def _statistics(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.einsum("gsc,gsd->gcd", inputs, inputs) / inputs.shape[1], inputs.mean(axis=1)


@pytest.mark.parametrize("seed", range(5))
def test_the_error_left_is_that_of_the_covariance(seed: int) -> None:
    inputs, weights, found = _case(seed)
    moment, mean = _statistics(inputs)
    shift = bias_shift(weights, found, mean)
    before = np.einsum("grc,gsc->gsr", weights, inputs)
    after = np.einsum("grc,gsc->gsr", found, inputs) + shift[:, None]
    np.testing.assert_allclose(after.mean(axis=1), before.mean(axis=1))
    measured = np.square(after - before).mean(axis=1)
    errors = Problem(weights, centred(moment, mean)).errors(found)
    np.testing.assert_allclose(errors, measured, rtol=1e-9)
    uncorrected = Problem(weights, moment).errors(found)
    np.testing.assert_allclose(errors + np.square(shift), uncorrected, rtol=1e-9)


def test_the_same_weights_need_no_correction() -> None:
    inputs, weights, _ = _case(0)
    assert not bias_shift(weights, weights, inputs.mean(axis=1)).any()


def test_what_never_changes_is_left_to_the_bias() -> None:
    inputs, weights, found = _case(1)
    inputs[:, :, 1] = 1e6 / 3
    inputs[:, :, 3] = 0
    moment, mean = _statistics(inputs)
    covariance = centred(moment, mean)
    assert not covariance[:, [1, 3]].any() and not covariance[:, :, [1, 3]].any()
    np.testing.assert_allclose(
        covariance[:, ::2, ::2], np.stack([np.cov(x[:, ::2].T, bias=True) for x in inputs])
    )
    one = inputs[:, :1]
    assert not centred(*_statistics(one)).any()
    exact = np.einsum("grc,gsc->gr", weights - found, one)
    np.testing.assert_allclose(bias_shift(weights, found, one[:, 0]), exact)
