"""Re-fitting by least squares: the inputs that stay stand in for those that were removed.

A layer that lost inputs gets the weights that change its output least on the calibration data,
Ŵ = W H[:,S] H[S,S]⁻¹ (He et al., Channel Pruning, arXiv:1707.06168). The constant 1 counts as an
input that always stays: the bias takes over the mean of what is gone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretune.search.backends.onnx.solvers.bias import bias_shift, centred
from paretune.search.backends.onnx.solvers.problem import Matrix

DAMPING = 1e-5
"""Share of each column's mean square; far above what rounding of stored moments changes."""


@dataclass(frozen=True)
class Refitted:
    """What a layer that keeps some of its columns is left with.

    Attributes:
        weights: shape (groups, rows, kept).
        shift: to be added to the bias, shape (groups, rows); zeros without means.
        error: mean square of what the output changes by, over all groups and rows.
        moment: of the kept columns, around their mean where there is one, shape
            (groups, kept, kept).
    """

    weights: Matrix
    shift: Matrix
    error: float
    moment: Matrix


def refit(
    weights: Matrix,
    moment: Matrix,
    mean: Matrix | None,
    kept: NDArray[np.int64],
    damping: float = DAMPING,
) -> Refitted:
    """Minimize E‖W x − Ŵ x_S − b‖² over Ŵ and b.

    What damping holds back is the change of the weights, so that keeping everything changes
    nothing. No row is worse than with its other weights left as they were.

    Args:
        weights: shape (groups, rows, columns).
        moment: E[x xᵀ], shape (groups, columns, columns).
        mean: E[x], shape (groups, columns); None for a layer that cannot have a bias.
        kept: columns that stay, ascending, the same in every group.
        damping: above 0.
    """
    gone = np.setdiff1d(np.arange(weights.shape[2]), kept)
    # With the best bias, what is left to minimize is the same with the covariance as H.
    around = moment if mean is None else centred(moment, mean)
    lost = weights[:, :, gone]
    across = lost @ around[:, gone[:, None], kept]
    inner = around[:, kept[:, None], kept]
    power = np.einsum("gcc->gc", moment)[:, kept]
    change = np.linalg.solve(damped(inner, power, damping), across.transpose(0, 2, 1))
    change = change.transpose(0, 2, 1)
    gain = np.einsum("grc,grc->gr", 2 * across - change @ inner, change)
    better = gain > 0
    change = np.where(better[..., None], change, 0.0)
    plain = np.einsum("grc,grc->", lost @ around[:, gone[:, None], gone], lost)
    found = weights[:, :, kept] + change
    whole = np.zeros_like(weights)
    whole[:, :, kept] = found
    shift = np.zeros(weights.shape[:2]) if mean is None else bias_shift(weights, whole, mean)
    return Refitted(found, shift, max(0.0, float(plain - gain[better].sum())), inner)


def damped(matrix: Matrix, power: Matrix, damping: float = DAMPING) -> Matrix:
    """`matrix`, made safe to invert in a way that does not depend on the scale of any column.

    Args:
        matrix: E[x xᵀ] or the covariance, shape (groups, columns, columns).
        power: E[x²], shape (groups, columns); a constant has no variance, but needs damping.
        damping: share of each column's mean square; a column that is always 0 gets 1.
    """
    found = matrix.copy()
    np.einsum("gcc->gc", found)[:] += np.where(power > 0, damping * power, 1.0)
    return found
