"""Low rank: a layer's matrix as the product of two thin ones that changes the output least."""

from dataclasses import dataclass

import numpy as np

from paretune.search.backends.onnx.solvers.problem import Matrix, Problem

_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Factors:
    """W ≈ left · right: `right` makes `rank` inner values from the inputs, `left` the outputs.

    Attributes:
        left: shape (groups, rows, rank).
        right: shape (groups, rank, columns).
    """

    left: Matrix
    right: Matrix

    @property
    def rank(self) -> int:
        return int(self.right.shape[1])

    @property
    def product(self) -> Matrix:
        """The weights that the factors stand for, shape (groups, rows, columns)."""
        found: Matrix = self.left @ self.right
        return found

    def balanced(self) -> "Factors":
        """The same product, column k of `left` as long as row k of `right`.

        Each factor then needs as few bits as the other.
        """
        left = np.linalg.norm(self.left, axis=1)
        right = np.linalg.norm(self.right, axis=2)
        both = (left > 0) & (right > 0)
        scale = np.sqrt(np.divide(left, right, out=np.zeros_like(left), where=both))
        other = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
        return Factors(self.left * other[:, None, :], self.right * scale[:, :, None])


def factor(problem: Problem, rank: int) -> Factors:
    """The factors of `rank` that minimize `problem.error(factors.product)`.

    The best outputs of that rank are the outputs projected on their own principal directions U:
    left = U, right = Uᵀ W. No inverse of H is needed (DRONE, Chen et al., NeurIPS 2021; SVD-LLM,
    arXiv:2403.07378). Directions in which the data never moved are left to W alone.

    Args:
        problem: the layer.
        rank: 1 <= rank <= min(rows, columns).

    Returns:
        balanced factors.

    Raises:
        ValueError: the rank is out of its range.
    """
    plain = factor_plainly(problem, rank)
    pairs = zip(problem.weights, problem.moment, strict=True)
    basis = np.stack([_principal(weights, moment, rank) for weights, moment in pairs])
    found = _projected(problem.weights, basis)
    return min(found, plain, key=lambda factors: problem.error(factors.product))


def factor_plainly(problem: Problem, rank: int) -> Factors:
    """The balanced factors of `rank` nearest to the weights, whatever the inputs (Eckart-Young).

    Raises:
        ValueError: the rank is out of its range.
    """
    most = min(problem.weights.shape[1:])
    if not 1 <= rank <= most:
        raise ValueError(f"1 <= rank <= {most} must hold, but got {rank=}")
    left = np.linalg.svd(problem.weights, full_matrices=False)[0]
    return _projected(problem.weights, left[..., :rank])


def _principal(weights: Matrix, moment: Matrix, rank: int) -> Matrix:
    """Orthonormal directions of the outputs, most power first, shape (rows, rank)."""
    values, vectors = np.linalg.eigh(moment)
    # Below it an eigenvalue is rounding of 0, but its root would be far above rounding.
    floor = len(values) * _EPSILON * np.abs(values).max()
    root = vectors * np.sqrt(np.where(values > floor, values, 0.0))
    left, power, _ = np.linalg.svd(weights @ root, full_matrices=False)
    known = int(np.count_nonzero(power > max(weights.shape) * _EPSILON * power[0]))
    found: Matrix = left[:, : min(rank, known)]
    if known < rank:
        rest = weights - found @ (found.T @ weights)
        more = np.linalg.svd(rest, full_matrices=False)[0][:, : rank - known]
        found = np.concatenate([found, more], axis=1)
    return found


def _projected(weights: Matrix, basis: Matrix) -> Factors:
    return Factors(basis, np.swapaxes(basis, 1, 2) @ weights).balanced()
