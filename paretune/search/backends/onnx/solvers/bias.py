"""Bias correction: the mean of what a layer's output changes by is taken back by its bias."""

import numpy as np

from paretune.search.backends.onnx.solvers.problem import Matrix


def bias_shift(weights: Matrix, found: Matrix, mean: Matrix) -> Matrix:
    """What to add to the bias so that the mean output stays: Δb = (W − Ŵ) E[x].

    Nagel et al., arXiv:1906.04721, section 4.2, with E[x] measured.

    Args:
        weights, found: before and after, shape (groups, rows, columns).
        mean: E[x], shape (groups, columns).

    Returns:
        shape (groups, rows); of `Conv`, `Gemm` and `MatMul` that is the order of the bias.
    """
    shift: Matrix = np.einsum("grc,gc->gr", weights - found, mean)
    return shift


def centred(moment: Matrix, mean: Matrix) -> Matrix:
    """The moment to solve for where the bias takes the mean: the covariance E[x xᵀ] − E[x] E[x]ᵀ.

    With `bias_shift` added to the bias, the mean square of what the output changes by is
    tr((W−Ŵ) C (W−Ŵ)ᵀ) for this C; without it, it is the same with the moment in its place.

    Args:
        moment: E[x xᵀ], shape (groups, columns, columns), symmetric.
        mean: E[x] of the same samples, shape (groups, columns).

    Returns:
        shape of `moment`; a column that never changes has zeros.
    """
    power = np.einsum("gcc->gc", moment)
    covariance: Matrix = moment - mean[:, :, None] * mean[:, None, :]
    variance = np.einsum("gcc->gc", covariance)
    # What rounding leaves of a constant is no variance.
    constant = variance <= 1e-12 * power
    covariance[constant] = 0.0
    covariance.transpose(0, 2, 1)[constant] = 0.0
    return covariance
