"""Scales shrunk until clipping the farthest weights costs more than finer levels save."""

from dataclasses import replace
from typing import TypeVar

import numpy as np

from paretune.search.backends.onnx.solvers.problem import Matrix, Problem
from paretune.search.backends.onnx.solvers.uniform import Scale, ScaledGrid

AnyGrid = TypeVar("AnyGrid", bound=ScaledGrid)

_TINY = np.finfo(np.float32).tiny
_FACTORS = np.linspace(0.3, 1.0, 36)[:-1]
# Of least squares in the scales, all codes fixed.
_ROUNDS = 2


def clipped(problem: Problem, grid: AnyGrid, least: Scale | None = None) -> AnyGrid:
    """The grid with better scales, or its own for a row that gains nothing.

    Tried are shares of each scale, and the scales of least squares with the codes fixed, by the
    error that the block would make if inputs were uncorrelated; a row takes them if they lower the
    error of its nearest values.

    Args:
        problem: the layer.
        grid: such that no weight is clipped.
        least: smaller scales are raised to it, shape (groups, rows); None for any.
    """
    weights, own = problem.weights, problem.diagonal[:, None]
    # Sums over blocks, which need not be neighbours.
    member = np.eye(grid.scale.shape[-1])[grid.block_of]

    def losses(tried: AnyGrid) -> Matrix:
        """Shape of the scales."""
        found: Matrix = (np.square(weights - tried.nearest(weights)) * own) @ member
        return found

    def at(scale: Matrix) -> AnyGrid:
        narrow = scale.astype(np.float32)
        if least is not None:
            narrow = np.copysign(np.maximum(np.abs(narrow), least[..., None]), narrow)
        return replace(grid, scale=np.where(np.abs(narrow) < _TINY, grid.scale, narrow))

    best, lowest = grid, losses(grid)
    for turn in range(len(_FACTORS) + _ROUNDS):
        if turn < len(_FACTORS):
            tried = at(grid.scale * _FACTORS[turn])
        else:
            tried = at(_least_squares(problem, best, member))
        loss = losses(tried)
        better = loss < lowest
        best = replace(grid, scale=np.where(better, tried.scale, best.scale))
        lowest = np.where(better, loss, lowest)
    plain, errors = (problem.errors(one.nearest(weights)) for one in (grid, best))
    return replace(grid, scale=np.where((errors < plain)[..., None], best.scale, grid.scale))


def _least_squares(problem: Problem, grid: ScaledGrid, member: Matrix) -> Matrix:
    """The best scale of every block for the codes that `grid` gives, inputs uncorrelated."""
    own = problem.diagonal[:, None]
    levels = grid.nearest(problem.weights) / grid.scales()
    power = (own * np.square(levels)) @ member
    wanted = (own * problem.weights * levels) @ member
    found: Matrix = np.divide(wanted, power, out=grid.scale.astype(np.float64), where=power > 0)
    return found
