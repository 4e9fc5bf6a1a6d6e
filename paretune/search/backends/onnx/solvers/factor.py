"""The triangular factor of a layer's second moment, on which every column sweep runs."""

import numpy as np

from paretune.search.backends.onnx.solvers.problem import Matrix

DAMPING = 0.01
"""GPTQ's. Measured on layers of three models, more costs accuracy, and less gains it on the
calibration data only."""


def damped(moment: Matrix, damping: float) -> Matrix:
    """The moment, its mean diagonal brought to 1, with `damping` of each group's mean added to it.

    Damping pulls towards the original weights where the samples say little (ridge regression;
    GPTQ, arXiv:2210.17323).

    Args:
        moment: shape (groups, columns, columns).
        damping: above 0.

    Returns:
        the same shape, in a unit common to all groups; a group without any input is a multiple of
        the identity.
    """
    means = np.maximum(np.einsum("gcc->g", moment) / max(moment.shape[-1], 1), 0.0)
    unit = means.mean() or 1.0
    ridge = damping * np.where(means > 0, means / unit, 1.0)
    found: Matrix = moment / unit + ridge[:, None, None] * np.eye(moment.shape[-1])
    return found


def upper(moment: Matrix, damping: float) -> Matrix:
    """Upper triangular R with R Rᵀ = the damped moment, shape (groups, columns, columns).

    A change Δ of the weights then costs ‖Δ R‖², and column j of Δ R holds only changes up to j: a
    sweep needs no inverse (the LDL form of GPTQ in QuIP, arXiv:2307.13304). R_jj² is what is left
    of input j once the inputs after it are known.

    Where rounding has made the moment indefinite, the damping grows until the factor exists.

    Raises:
        ValueError: it never does.
    """
    for growth in range(12):
        # Factored from the last column to the first.
        turned = damped(moment, damping * 10.0**growth)[:, ::-1, ::-1]
        try:
            lower = np.linalg.cholesky(turned)
        except np.linalg.LinAlgError:
            continue
        if np.isfinite(lower).all():
            return np.ascontiguousarray(lower[:, ::-1, ::-1])
    raise ValueError("the second moment of a layer's inputs must be finite and symmetric")


def looseness(factor: Matrix) -> Matrix:
    """Diagonal of the inverse of R Rᵀ, shape (groups, columns).

    Zeroing a weight w costs w² over this, once all other weights of its row make up for it
    (optimal brain surgeon).

    Args:
        factor: R, shape (groups, columns, columns).
    """
    found: Matrix = np.square(np.linalg.inv(factor)).sum(axis=1)
    return found
