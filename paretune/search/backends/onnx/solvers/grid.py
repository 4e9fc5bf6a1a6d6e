"""What a solver must know of a number format: the values that a weight can take."""

from typing import Protocol

from paretune.search.backends.onnx.solvers.problem import Matrix


class Grid(Protocol):
    """The values that each weight of one layer can take; scales and tables are already fixed."""

    def nearest(self, weights: Matrix, start: int) -> Matrix:
        """The representable values nearest to `weights`.

        Args:
            weights: of the columns from `start` on, shape (groups, rows, any number).
            start: column where `weights` begins.

        Returns:
            shape of `weights`. Calling it with its own result changes nothing.
        """
        ...
