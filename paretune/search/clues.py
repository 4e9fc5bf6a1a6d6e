"""What is known of a space's options before any trial: clues for a sampler that can use them."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from paretune.search.preparing import Errors
from paretune.spaces import ChannelGroup, Choice, Layer, ResidualBlock, Space
from paretune.spaces.precision import parse_precision
from paretune.spaces.space import DROP, Knob
from paretune.spaces.sparsity import parse_sparsity

Clues = Mapping[str, Mapping[str, Sequence[float]]]
"""As `GuidedSampler` takes them: name of a clue to a knob to a figure for each of its options."""


def find_clues(space: Space, errors: Errors) -> Clues:
    """Clues of accuracy, latency and size, from one pass over the calibration data.

    - `error/mean_square`, `error/root`: of the layer's output, relative to it.
    - `work/OPTION`, `parameters/OPTION`: how much of the network's an option concerns. What an
      option does to a latency is not known; that it does more where there is more to do, is.

    Args:
        errors: as `compress_choices` returns them.
    """
    layers = {layer.name: layer for layer in space.layers}
    concerned = {knob.name: [layers[name] for name in _layers(space, knob)] for knob in space.knobs}
    found: dict[str, dict[str, Sequence[float]]] = {}
    for knob in space.knobs:
        told = _errors(knob, errors)
        found.setdefault("error/mean_square", {})[knob.name] = told
        found.setdefault("error/root", {})[knob.name] = [error**0.5 for error in told]
        for family, size in _SIZES.items():
            total = sum(size(layer) for layer in concerned[knob.name])
            for name, shares in _shares(knob):
                clue = found.setdefault(f"{family}/{name}", {})
                clue[knob.name] = [share * total for share in shares]
    return found


_SIZES: dict[str, Callable[[Layer], float]] = {
    "work": lambda layer: layer.macs or 0,
    "parameters": lambda layer: layer.parameters,
}


def _layers(space: Space, knob: Knob) -> Sequence[str]:
    kind, _, name = knob.name.partition("/")
    tied: Sequence[ChannelGroup | ResidualBlock] = ()
    if kind in ("channels", "block"):
        tied = space.groups if kind == "channels" else space.blocks
    return next((each.layers for each in tied if each.name == name), (name,))


def _errors(knob: Knob, errors: Errors) -> list[float]:
    """What each option alone does to the output of its layer; 0 where that is not known."""
    kind, _, name = knob.name.partition("/")
    if kind not in ("precision", "sparsity"):
        return [0.0] * len(knob.options)
    known = errors[name]
    choices = [
        Choice(precision=parse_precision(text))
        if kind == "precision"
        else Choice(sparsity=parse_sparsity(text))
        for text in knob.options
    ]
    worst = max(known.values(), default=0.0)
    return [known.get(choice, worst) for choice in choices]


def _shares(knob: Knob) -> Iterator[tuple[str, list[float]]]:
    """Names of clues, and the share of a layer that each option concerns."""
    kind, _, _ = knob.name.partition("/")
    if kind == "channels":
        yield "channels", [float(amount) for amount in knob.options]
    elif kind == "block":
        yield "block", [float(option == DROP) for option in knob.options]
    else:
        for place, option in enumerate(knob.options[1:], start=1):
            yield option, [float(place == other) for other in range(len(knob.options))]
