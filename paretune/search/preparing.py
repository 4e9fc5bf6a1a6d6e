"""Compressing all choices of all layers before the first trial, so that no trial waits for it."""

from collections.abc import Callable, Sequence

from paretune.errors import Infeasible
from paretune.search.backends import Prepared
from paretune.spaces import Choice, Space

Told = Callable[[int, int], None]
"""Is told how many are done, and of how many."""


def choices(space: Space) -> Sequence[tuple[str, Choice]]:
    """Each layer with each of its choices; removed channels depend on the other layers."""
    return [
        (layer.name, Choice(precision, sparsity))
        for layer in space.layers
        for precision in space.precisions[layer.name]
        for sparsity in space.sparsities[layer.name]
    ]


def compress_choices(prepared: Prepared, space: Space, tell: Told) -> None:
    """Let the backend make and keep all that policies are assembled from.

    What was made before, by this study or by another one of the same model, is not made again. What
    a layer cannot have is left for the trial that asks for it.
    """
    todo = choices(space)
    for index, (layer, choice) in enumerate(todo):
        tell(index, len(todo))
        try:
            prepared.compress(layer, choice)
        except Infeasible:
            continue
    tell(len(todo), len(todo))
