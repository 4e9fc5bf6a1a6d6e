"""Compressing all choices of all layers before the first trial, so that no trial waits for it."""

from collections.abc import Callable, Mapping

from paretune.errors import Infeasible
from paretune.search.backends import Prepared
from paretune.spaces import Choice, Space

Told = Callable[[int, int], None]
"""Is told how many are done, and of how many."""

Errors = Mapping[str, Mapping[Choice, float]]
"""Layer to choice to the relative error of the layer's output; see `Prepared.compress`."""


def silently(done: int, total: int) -> None:
    """Nobody watches."""


def compress_choices(prepared: Prepared, space: Space, tell: Told = silently) -> Errors:
    """Let the backend make and keep all that policies are assembled from.

    What was made before, by this study or by another one of the same model, is not made again.
    Removed channels and dropped blocks are left out, since they depend on the other layers.

    Returns:
        The errors; a layer lacks the choices that it cannot have. They tell, before any trial,
        which layers are sensitive to what.
    """
    todo = [
        (layer.name, Choice(precision, sparsity))
        for layer in space.layers
        for precision in space.precisions[layer.name]
        for sparsity in space.sparsities[layer.name]
    ]
    errors: dict[str, dict[Choice, float]] = {layer.name: {} for layer in space.layers}
    for index, (layer, choice) in enumerate(todo):
        tell(index, len(todo))
        try:
            errors[layer][choice] = prepared.compress(layer, choice)
        except Infeasible:
            continue
    tell(len(todo), len(todo))
    return errors
