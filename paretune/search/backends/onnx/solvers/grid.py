"""What a solver must know of a number format: the values that a weight can take."""

from typing import Protocol, Self, runtime_checkable

from paretune.search.backends.onnx.solvers.problem import Matrix, Problem


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


@runtime_checkable
class Refittable(Grid, Protocol):
    """A grid whose scales or table can be fitted once more, when it is known which weight takes
    which value."""

    def refitted(self, problem: Problem, found: Matrix) -> tuple[Self, Matrix]:
        """The grid that changes the layer's output least, and the weights in it.

        Args:
            problem: the layer.
            found: values of this grid, shape (groups, rows, columns).

        Returns:
            weights that are 0 are still 0, and the error is not larger.
        """
        ...
