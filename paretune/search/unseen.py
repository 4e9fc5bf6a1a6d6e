"""Policies that were not measured yet, when the sampler repeats itself."""

from collections.abc import Container, Iterator
from itertools import chain, product

import numpy as np

from paretune.spaces import Policy, Space
from paretune.spaces.space import DROP, KEEP

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

    A group that loses channels has no sparsity of its own, and a block that is dropped has no
    choices at all, so a plain product over the knobs would meet such policies again and again.
    """
    for chosen in product((KEEP, DROP), repeat=len(space.blocks)):
        blocks = dict(zip(space.blocks, chosen, strict=True))
        gone = {name for block, what in blocks.items() if what == DROP for name in block.layers}
        settings = {f"block/{block.name}": what for block, what in blocks.items()}
        for part in product(*_independent(space, gone)):
            yield space.decode(settings | {k: v for some in part for k, v in some.items()})


def _independent(space: Space, gone: Container[str]) -> list[list[dict[str, str]]]:
    """Settings of the layers that are not gone, in parts that do not depend on each other."""
    options = {knob.name: knob.options for knob in space.knobs}
    left = [layer.name for layer in space.layers if layer.name not in gone]
    grouped = {name for group in space.groups for name in group.layers}
    single = [f"precision/{name}" for name in left]
    single += [f"sparsity/{name}" for name in left if name not in grouped]
    parts = [[{name: option} for option in options[name]] for name in single if name in options]
    for group in space.groups:
        names = [f"sparsity/{name}" for name in group.layers if name not in gone]
        own = [name for name in names if name in options]
        dense = (
            dict(zip(own, chosen, strict=True)) for chosen in product(*(options[n] for n in own))
        )
        channels = f"channels/{group.name}"
        amounts = options.get(channels, ()) if names else ()
        lost = ({channels: amount} for amount in amounts if amount != "0")
        parts.append(list(chain(dense, lost)))
    return parts
