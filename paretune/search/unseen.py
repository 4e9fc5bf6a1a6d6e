"""Policies that were not measured yet, when the sampler repeats itself."""

from collections.abc import Container, Iterator
from itertools import chain, product

import numpy as np

from paretune.spaces import Policy, Space

RANDOM_DRAWS = 1000


def unseen_policy(space: Space, seen: Container[Policy], rng: np.random.Generator) -> Policy | None:
    """A random policy that is not in `seen`, or None when there is none.

    Drawing at random fails where nearly all is seen; then the space is small enough to walk.
    """
    for _ in range(RANDOM_DRAWS):
        settings = {
            knob.name: knob.options[rng.integers(len(knob.options))] for knob in space.knobs
        }
        policy = space.decode(settings)
        if policy not in seen:
            return policy
    return next((policy for policy in all_policies(space) if policy not in seen), None)


def all_policies(space: Space) -> Iterator[Policy]:
    """Every policy of the space, once.

    A group that loses channels has no sparsity of its own, so a plain product over the knobs
    would meet such policies again and again.
    """
    options = {knob.name: knob.options for knob in space.knobs}
    grouped = {f"sparsity/{name}" for group in space.groups for name in group.layers}
    parts: list[list[dict[str, str]]] = [
        [{name: option} for option in options[name]]
        for name in options
        if name not in grouped and not name.startswith("channels/")
    ]
    for group in space.groups:
        own = [f"sparsity/{name}" for name in group.layers if f"sparsity/{name}" in options]
        dense = (
            dict(zip(own, chosen, strict=True)) for chosen in product(*(options[n] for n in own))
        )
        channels = f"channels/{group.name}"
        lost = ({channels: amount} for amount in options.get(channels, ()) if amount != "0")
        parts.append(list(chain(dense, lost)))
    for chosen in product(*parts):
        yield space.decode({key: value for part in chosen for key, value in part.items()})
