"""Signs times a scale for every row: {-s, s}, and {-s, 0, s}."""

from dataclasses import dataclass, replace

import numpy as np

from paretune.search.backends.onnx.solvers.problem import Matrix, Problem
from paretune.search.backends.onnx.solvers.uniform import LevelGrid, Scale

_TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class SignGrid(LevelGrid):
    """A `LevelGrid` with one scale for every row, which can be fitted once more."""

    def refitted(self, problem: Problem, found: Matrix) -> "tuple[SignGrid, Matrix]":
        """Least squares in the scale of each row, all signs kept.

        Args:
            problem: the layer.
            found: values of the grid, shape (groups, rows, columns); 0 stays 0.

        Returns:
            The grid and the same signs in it; the error of no row is larger.
        """
        signs = np.sign(found)
        bent = signs @ problem.moment
        power = np.einsum("grc,grc->gr", bent, signs)
        wanted = np.einsum("grc,grc->gr", bent, problem.weights)
        best = np.divide(wanted, power, out=np.zeros_like(power), where=power > 0)
        tried = _stored(best[..., None])
        moved: Matrix = signs * tried
        better = (problem.errors(moved) < problem.errors(found))[..., None]
        scale = np.where(better, tried, self.scale)
        return replace(self, scale=scale), np.where(better, moved, found)


def fit_signs(problem: Problem, *, zero: bool, naive: bool = False) -> SignGrid:
    """Scales for {-1, 1}, or {-1, 0, 1} with `zero`.

    The best of a row are the mean of the k largest magnitudes, for the best k; each weight counts
    as much as E[x²] of its input. Without `zero` it is the mean of all.

    Args:
        problem: the layer.
        zero: 0 is one of the levels.
        naive: the plain mean of all magnitudes (XNOR-Net, arXiv:1603.05279), or of those above 0.7
            times that (ternary weight networks, arXiv:1605.04711).
    """
    magnitude = np.abs(problem.weights)
    mean = magnitude.mean(axis=2, keepdims=True)
    counted = magnitude > 0.7 * mean if zero else np.ones(magnitude.shape, bool)
    plain = _grid(_mean(magnitude, counted.astype(np.float64)), problem, zero)
    if naive:
        return plain
    weighted = np.broadcast_to(problem.diagonal[:, None], magnitude.shape)
    if not zero:
        scale = _mean(magnitude, weighted)
    else:
        order = np.argsort(-magnitude, axis=2, kind="stable")
        mass = np.take_along_axis(weighted, order, 2)
        total = np.cumsum(mass, axis=2)
        sums = np.cumsum(mass * np.take_along_axis(magnitude, order, 2), axis=2)
        means = np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)
        # What k signs save: (Σ h |w|)² / Σ h.
        best = (sums * means).argmax(axis=2)[..., None]
        scale = np.take_along_axis(means, best, 2)
    found = _grid(scale, problem, zero)
    plain_errors, errors = (problem.errors(x.nearest(problem.weights)) for x in (plain, found))
    better = (errors < plain_errors)[..., None]
    return replace(found, scale=np.where(better, found.scale, plain.scale))


def _mean(magnitude: Matrix, mass: Matrix) -> Matrix:
    """Weighted, of each row, shape (groups, rows, 1); 0 of nothing."""
    total = mass.sum(axis=2, keepdims=True)
    sums = (mass * magnitude).sum(axis=2, keepdims=True)
    found: Matrix = np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)
    return found


def _grid(scale: Matrix, problem: Problem, zero: bool) -> SignGrid:
    levels = np.array([-1.0, 0.0, 1.0] if zero else [-1.0, 1.0])
    return SignGrid(_stored(scale), np.zeros(problem.weights.shape[2], np.int64), levels)


def _stored(scale: Matrix) -> Scale:
    """As float32, above 0: next to nothing for a row of zeros, where there is no level for 0."""
    return np.maximum(scale.astype(np.float32), _TINY)
