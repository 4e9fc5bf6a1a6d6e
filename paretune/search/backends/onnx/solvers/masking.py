"""Zeroing weights so that the output changes least, the others making up for them."""

from collections.abc import Sequence

import numpy as np

from paretune.search.backends.onnx.solvers.factor import DAMPING, damped, looseness, upper
from paretune.search.backends.onnx.solvers.feedback import feed_back
from paretune.search.backends.onnx.solvers.patterns import Mask, Pattern
from paretune.search.backends.onnx.solvers.problem import Matrix, Problem

# Conjugate gradient steps: to settle a mask, and to compare two.
_LONG, _SHORT = 10, 5
# Further masks tried, and how far the first goes along the gradient. Measured, they take a fifth
# off the error at half the weights, and nearly half of it at a fifth of the weights.
_ROUNDS, _STRIDE = 4, 2.0


def prune(problem: Problem, pattern: Pattern, damping: float = DAMPING) -> tuple[Matrix, Mask]:
    """Weights with zeros, and which are not zero, both of shape (groups, rows, columns).

    A mask from SparseGPT's sweep, its weights re-fitted, and hard thresholding pursuit from there
    (Foucart 2011, doi:10.1137/100806278): a step along the gradient, the weights that are then
    least important are zeroed, the others re-fitted; kept if it is better.

    Args:
        problem: the layer.
        pattern: of the zeros.
        damping: see `damped`.
    """
    moment = damped(problem.moment, damping)
    smooth = Problem(problem.weights, moment)
    own = smooth.diagonal[:, None]
    # Nothing is lost with the weights of an input that is always 0.
    alive = problem.diagonal[:, None] > 0

    def error_of(found: Matrix) -> float:
        return smooth.error(np.where(alive, found, problem.weights))

    found, kept = _sweep(problem, pattern, alive, damping)
    if kept.all():
        return found, kept
    found = refit(smooth, found, kept, _LONG)
    error, stride = error_of(found), _STRIDE
    for _ in range(_ROUNDS):
        aim = found + stride * ((problem.weights - found) @ moment) / own
        tried = pattern.keep(np.square(aim) * own * alive)
        if np.array_equal(tried, kept):
            break
        fitted = refit(smooth, np.where(tried, aim, 0.0), tried, _SHORT)
        if (new := error_of(fitted)) < error:
            found, kept, error = fitted, tried, new
        else:
            stride /= 2
    return refit(smooth, found, kept, _LONG), kept


def refit(problem: Problem, found: Matrix, kept: Mask, steps: int) -> Matrix:
    """Weights that stay, moved towards the least-squares solution of their row.

    Conjugate gradients with the diagonal as preconditioner, all rows at once: rows have different
    masks, so that none shares a factorization with another. The error never grows.

    Args:
        problem: the layer; the diagonal of its moment is above 0.
        found: zero outside `kept`, shape (groups, rows, columns).
        kept: weights that are not zero.
        steps: matrix products, at most.
    """
    inverse = 1 / problem.diagonal[:, None]
    residual = np.where(kept, (problem.weights - found) @ problem.moment, 0.0)
    direction = residual * inverse
    strength = first = np.einsum("grc,grc->gr", residual, direction)
    found = found.copy()
    for _ in range(steps):
        if not (strength > 1e-12 * first).any():
            break
        bent = np.where(kept, direction @ problem.moment, 0.0)
        size = _over(strength, np.einsum("grc,grc->gr", direction, bent))[..., None]
        found += size * direction
        residual -= size * bent
        ready = residual * inverse
        strength, before = np.einsum("grc,grc->gr", residual, ready), strength
        direction = ready + _over(strength, before)[..., None] * direction
    return found


def _sweep(problem: Problem, pattern: Pattern, alive: Mask, damping: float) -> tuple[Matrix, Mask]:
    """SparseGPT (arXiv:2301.00774), zeros shared out between windows by what they cost in all."""
    weights = problem.weights
    factor = upper(problem.moment, damping)
    windows: Sequence[slice] = pattern.windows(weights.shape[-1])
    kept = pattern.keep(np.square(weights) * alive / looseness(factor)[:, None])

    def mask(window: slice, before: Matrix) -> Mask:
        square = factor[:, window, window]
        # The weights of the window as those before it leave them, all later ones being free.
        free = weights[..., window] + before @ np.linalg.inv(square)
        scores = np.square(free) * alive[..., window] / looseness(square)[:, None]
        kept[..., window] = pattern.again(scores, kept[..., window])
        return kept[..., window]

    return feed_back(weights, factor, windows, mask, lambda _, wanted: wanted), kept


def _over(top: Matrix, bottom: Matrix) -> Matrix:
    """The quotient, 0 where there is none."""
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)
