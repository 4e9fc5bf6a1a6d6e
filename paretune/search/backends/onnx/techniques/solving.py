"""How the weights of a format are found: the same way, whatever the format."""

from paretune.search.backends.onnx.solvers.grid import Grid, Refittable
from paretune.search.backends.onnx.solvers.patterns import Pattern
from paretune.search.backends.onnx.solvers.problem import Matrix, Problem
from paretune.search.backends.onnx.solvers.sweep import naive, sweep


def solve(
    problem: Problem, grid: Grid | None, pattern: Pattern | None = None, *, plainly: bool
) -> tuple[Grid | None, Matrix]:
    """Weights on a grid, with a pattern of zeros; the grid is fitted to them once more.

    Args:
        problem: the layer.
        grid: None for any value.
        pattern: None for no zeros.
        plainly: nearest values and smallest weights instead: for comparison.

    Returns:
        the grid, and its values for all weights, shape (groups, rows, columns).
    """
    if plainly:
        return grid, naive(problem, grid, pattern)
    found = sweep(problem, grid, pattern)
    return grid.refitted(problem, found) if isinstance(grid, Refittable) else (grid, found)
