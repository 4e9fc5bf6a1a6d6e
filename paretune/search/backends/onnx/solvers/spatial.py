"""Low rank in space: a convolution as a vertical one with a horizontal one behind it.

A kernel (out, in, height, width) becomes (rank, in, height, 1) and (out, rank, 1, width)
(Jaderberg et al., arXiv:1405.3866).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from paretune.search.backends.onnx.solvers.lowrank import Factors, factor, factor_plainly
from paretune.search.backends.onnx.solvers.problem import Matrix, Problem

_ROUNDS = 3
_STEPS = 10
_DAMPING = 1e-4
_EPSILON = float(np.finfo(np.float64).eps)
_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Kernel:
    """How a convolution's matrix is folded, so that the width of the kernel moves to the rows.

    Attributes:
        height, width: of the kernel.
    """

    height: int
    width: int

    def fold(self, weights: Matrix) -> Matrix:
        """(..., rows, height · width · in) to (..., rows · width, height · in)."""
        *groups, rows, _ = weights.shape
        split = weights.reshape(*groups, rows, self.height, self.width, -1)
        return np.swapaxes(split, -3, -2).reshape(*groups, rows * self.width, -1)

    def unfold(self, folded: Matrix) -> Matrix:
        """The inverse of `fold`."""
        *groups, rows, _ = folded.shape
        split = folded.reshape(*groups, rows // self.width, self.width, self.height, -1)
        return np.swapaxes(split, -3, -2).reshape(*groups, rows // self.width, -1)

    def spread(self, right: Matrix) -> Matrix:
        """What the second convolution reads, as weights of the layer's inputs.

        Args:
            right: shape (..., rank, height · in).

        Returns:
            shape (..., width · rank, height · width · in); row (x, k) is the inner value k at place
            x of the kernel's width.
        """
        *groups, _, columns = right.shape
        placed = np.einsum("...kc,xX->...xkXc", right, np.eye(self.width))
        return self.unfold(placed.reshape(*groups, -1, columns))

    def fold_moment(self, moment: Matrix) -> Matrix:
        """Moment of the folded columns, summed over the kernel's width, as the rows are apart."""
        groups, columns, _ = moment.shape
        size = (self.height, self.width, columns // (self.height * self.width))
        summed: Matrix = np.einsum("gyxiYxI->gyiYI", moment.reshape(groups, *size, *size))
        return summed.reshape(groups, columns // self.width, -1)


def folded(problem: Problem, kernel: Kernel) -> Problem:
    """The folded weights, as if the columns of a kernel met unrelated inputs."""
    return Problem(kernel.fold(problem.weights), kernel.fold_moment(problem.moment))


def factor_spatially(problem: Problem, rank: int, kernel: Kernel) -> Factors:
    """Factors of `rank`, of the folded weights, whose unfolded product changes the output little.

    If the columns of a kernel met unrelated inputs, `factor` of the folded problem would be the
    best. From there, least squares for each factor in turn takes their relations into account:
    `left` exactly, `right` by conjugate gradients, neither of which can raise the error.

    Args:
        problem: of a convolution, columns in the order (height, width, in).
        rank: 1 <= rank <= min(rows · width, height · in).
        kernel: of the convolution.

    Returns:
        balanced; left: (groups, rows · width, rank), right: (groups, rank, height · in).

    Raises:
        ValueError: the rank is out of its range.
    """
    apart = folded(problem, kernel)
    if kernel.width == 1:
        return factor(apart, rank)
    found = [factor_plainly(apart, rank), factor(apart, rank)]
    for _ in range(_ROUNDS):
        last = found[-1]
        parts = zip(problem.weights, problem.moment, last.left, last.right, strict=True)
        turns = [_improved(*part, kernel) for part in parts]
        found.append(Factors(*(np.stack(factors) for factors in zip(*turns, strict=True))))
    best = min(found, key=lambda factors: problem.error(kernel.unfold(factors.product)))
    return best.balanced()


def refit_left(problem: Problem, factors: Factors, kernel: Kernel) -> Factors:
    """The same `right` with the `left` that suits it best: least squares; never worse.

    Args:
        problem: of the layer.
        factors: of the folded weights.
        kernel: `Kernel(1, 1)` folds nothing: for factors of the weights themselves.
    """
    missing = problem.weights - kernel.unfold(factors.product)
    parts = zip(missing, problem.moment, factors.right, strict=True)
    step = np.stack([_left_step(*part, kernel) for part in parts])
    found = Factors(factors.left + step, factors.right)
    return min(found, factors, key=lambda f: problem.error(kernel.unfold(f.product)))


def _improved(
    weights: Matrix, moment: Matrix, left: Matrix, right: Matrix, kernel: Kernel
) -> tuple[Matrix, Matrix]:
    """Both factors of one group after a turn of least squares."""

    def gradient(change: Matrix) -> Matrix:
        """How the error of a change of the weights depends on `right`."""
        found: Matrix = left.T @ kernel.fold(change @ moment)
        return found

    missing = weights - kernel.unfold(left @ right)
    step = _conjugate_gradients(lambda x: gradient(kernel.unfold(left @ x)), gradient(missing))
    right = right + step
    missing = weights - kernel.unfold(left @ right)
    return left + _left_step(missing, moment, right, kernel), right


def _left_step(missing: Matrix, moment: Matrix, right: Matrix, kernel: Kernel) -> Matrix:
    """What to add to `left`, so that `missing` is made up for best."""
    rows = kernel.spread(right)
    seen = rows @ moment
    values, vectors = np.linalg.eigh(seen @ rows.T)
    # A little damping: without it, directions that the data hardly moved would get large weights.
    # What is added is less than without, so the error still cannot rise.
    values = np.maximum(values, 0.0)
    damped = values + _DAMPING * max(float(values.mean()), _TINY)
    step: Matrix = (missing @ seen.T @ vectors / damped) @ vectors.T
    return step.reshape(-1, len(right))


def _conjugate_gradients(apply: Callable[[Matrix], Matrix], wanted: Matrix) -> Matrix:
    """Nearly x with apply(x) = wanted, `apply` being linear, symmetric and never negative."""
    found = np.zeros_like(wanted)
    residual = direction = wanted
    size = start = float(np.vdot(residual, residual))
    for _ in range(_STEPS):
        seen = apply(direction)
        curvature = float(np.vdot(direction, seen))
        if size <= _EPSILON**2 * start or curvature <= 0:
            break
        found = found + size / curvature * direction
        residual = residual - size / curvature * seen
        before, size = size, float(np.vdot(residual, residual))
        direction = residual + size / before * direction
    return found
