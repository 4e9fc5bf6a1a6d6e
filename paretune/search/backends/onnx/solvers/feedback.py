"""One pass over the columns in which later weights make up for the errors of earlier ones."""

from collections.abc import Callable, Sequence

import numpy as np

from paretune.search.backends.onnx.solvers.patterns import Mask
from paretune.search.backends.onnx.solvers.problem import Matrix


def feed_back(
    weights: Matrix,
    factor: Matrix,
    windows: Sequence[slice],
    mask: Callable[[slice, Matrix], Mask],
    value: Callable[[int, Matrix], Matrix],
) -> Matrix:
    """Fixes one column after the other, each at what is best given those before it.

    This is optimal brain surgeon in a fixed order (GPTQ, arXiv:2210.17323; SparseGPT,
    arXiv:2301.00774), written with products instead of updates of all that is to come.

    Args:
        weights: shape (groups, rows, columns).
        factor: see `upper`, shape (groups, columns, columns).
        windows: neighbouring columns; they cover all columns, in order.
        mask: from a window, and what the columns before it add to Δ R there, (groups, rows,
            width), to the weights of the window that are not zero.
        value: from a column and the weights wanted there, (groups, rows, 1), to those it gets.

    Returns:
        what the columns got, shape of `weights`.
    """
    change = np.zeros_like(weights)
    for window in windows:
        start = window.start
        before = change[..., :start] @ factor[:, :start, window]
        kept = mask(window, before)
        for index in range(window.stop - start):
            at = slice(start + index, start + index + 1)
            owed = before[..., index : index + 1]
            owed = owed + change[..., start : at.start] @ factor[:, start : at.start, at]
            wanted = weights[..., at] + owed / factor[:, at, at]
            given = np.where(kept[..., index : index + 1], value(at.start, wanted), 0.0)
            change[..., at] = weights[..., at] - given
    return weights - change
