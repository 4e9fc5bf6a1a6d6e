"""Rounding to a grid so that the output changes least."""

import numpy as np

from paretune.search.backends.onnx.solvers.factor import DAMPING, damped, upper
from paretune.search.backends.onnx.solvers.feedback import feed_back
from paretune.search.backends.onnx.solvers.grid import Grid
from paretune.search.backends.onnx.solvers.patterns import Mask, cut
from paretune.search.backends.onnx.solvers.problem import Matrix, Problem

# Columns between two matrix products.
_WIDTH = 128
# Measured, 4 passes gain 1 to 5% on top of GPTQ at 4 bits, 20% for ternary; 4 more next to nothing.
_PASSES = 4


def round_columns(problem: Problem, grid: Grid, kept: Mask, damping: float = DAMPING) -> Matrix:
    """GPTQ (arXiv:2210.17323), the columns with the largest inputs first.

    Args:
        problem: the layer; its weights are 0 outside `kept`.
        grid: what weights can be.
        kept: weights that are not zero, shape (groups, rows, columns).
        damping: see `damped`.

    Returns:
        values of the grid, and zeros, shape of the weights.
    """
    means = problem.diagonal.mean(axis=1, keepdims=True)
    large = (problem.diagonal / np.where(means > 0, means, 1.0)).sum(axis=0)
    order = np.argsort(-large, kind="stable")
    factor = upper(problem.moment[:, order[:, None], order], damping)
    found = np.empty_like(problem.weights)

    def value(column: int, wanted: Matrix) -> Matrix:
        at = int(order[column])
        # Kept as it is: what is left of the change is only as exact as the weight.
        found[..., at : at + 1] = grid.nearest(wanted, at)
        return found[..., at : at + 1]

    ordered = kept[..., order]
    windows = cut(len(order), _WIDTH)
    weights = problem.weights[..., order]
    feed_back(weights, factor, windows, lambda window, _: ordered[..., window], value)
    return np.where(kept, found, 0.0)


def descend(
    problem: Problem, found: Matrix, grid: Grid, kept: Mask, damping: float = DAMPING
) -> Matrix:
    """Chooses each weight anew, given all others: coordinate descent, a few passes.

    The damped error never grows. Without damping the error on other data than the calibration
    data does, measured, by a factor of up to 20.

    Args:
        problem: the layer.
        found: values of the grid, and zeros, shape (groups, rows, columns).
        grid: what weights can be.
        kept: weights that are not zero for good, shape of `found`.
        damping: see `damped`.
    """
    moment = damped(problem.moment, damping)
    own = np.einsum("gcc->gc", moment)[:, None]
    found = found.copy()
    slope = (problem.weights - found) @ moment
    for _ in range(_PASSES):
        moved = False
        for window in cut(found.shape[-1], _WIDTH):
            square, local = moment[:, window, window], slope[..., window].copy()
            step = np.zeros_like(local)
            for index in range(local.shape[-1]):
                here, at = slice(index, index + 1), window.start + index
                old = found[..., at : at + 1]
                new = grid.nearest(old + local[..., here] / own[..., at : at + 1], at)
                new = np.where(kept[..., at : at + 1], new, 0.0)
                step[..., here] = new - old
                local -= step[..., here] * square[:, here]
                found[..., at : at + 1] = new
            if step.any():
                moved = True
                slope -= step @ moment[:, window]
        if not moved:
            break
    return found
