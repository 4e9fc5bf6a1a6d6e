"""Counting the policies of a space without walking through them."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod

from paretune.spaces.layer import ChannelGroup, ResidualBlock


def count_policies(
    precisions: Mapping[str, int],
    sparsities: Mapping[str, int],
    amounts: Mapping[ChannelGroup, int],
    blocks: Sequence[ResidualBlock],
) -> int:
    """The number of different policies.

    A group's layers have their own sparsities, or lose one of its amounts together. A layer of a
    dropped block has neither, nor a precision. What would tie everything to everything is a group
    in several blocks; once it is settled what such a group does, blocks do not depend on each
    other. So time grows with 3 to the power of the number of such groups that share blocks, and
    in step with all else.

    Args:
        precisions, sparsities: layer name to the number of options.
        amounts: group to the number of its amounts.
        blocks: that may be dropped.
    """
    block_of = {name: block for block in blocks for name in block.layers}
    across = [g for g in amounts if _touched(g, block_of) and not _within(g, block_of)]
    total = 1
    for shared, tied in _components(across, blocks, block_of):
        part = 0
        for modes in product(("own", "channels", "gone"), repeat=len(shared)):
            mode = dict(zip(shared, modes, strict=True))
            part += _settled(mode, tied, precisions, sparsities, amounts, block_of)
        total *= part
    outside = [name for name in precisions if name not in block_of]
    total *= prod(precisions[name] for name in outside)
    grouped = {name for group in amounts for name in group.layers}
    total *= prod(sparsities[name] for name in outside if name not in grouped)
    for group, count in amounts.items():
        if not _touched(group, block_of):
            total *= prod(sparsities[name] for name in group.layers) + count
    return total


def _settled(
    mode: Mapping[ChannelGroup, str],
    blocks: Sequence[ResidualBlock],
    precisions: Mapping[str, int],
    sparsities: Mapping[str, int],
    amounts: Mapping[ChannelGroup, int],
    block_of: Mapping[str, ResidualBlock],
) -> int:
    """Policies of some blocks and the groups across them when it is known what these groups do.

    A group that loses channels must have a layer left; `gone` takes those policies off again in
    which it has none.
    """
    total = 1
    forced: set[str] = set()
    for group, what in mode.items():
        outside = [name for name in group.layers if name not in block_of]
        if what == "own":
            total *= prod(sparsities[name] for name in outside)
        elif what == "channels":
            total *= amounts[group]
        else:
            total *= 0 if outside else -amounts[group]
            forced |= {block_of[name].name for name in group.layers if name in block_of}
    lost = {name for group, what in mode.items() if what != "own" for name in group.layers}
    for block in blocks:
        if block.name in forced:
            continue
        inner = [g for g in amounts if _within(g, block_of) and g.name in block.layers]
        grouped = {name for group in inner for name in group.layers}
        kept = prod(precisions[name] for name in block.layers)
        kept *= prod(sparsities[n] for n in block.layers if n not in grouped and n not in lost)
        for group in inner:
            kept *= prod(sparsities[name] for name in group.layers) + amounts[group]
        total *= kept + 1
    return total


def _components(
    across: Sequence[ChannelGroup],
    blocks: Sequence[ResidualBlock],
    block_of: Mapping[str, ResidualBlock],
) -> Iterator[tuple[list[ChannelGroup], list[ResidualBlock]]]:
    """Blocks that groups tie to each other, with these groups."""
    left = list(blocks)
    while left:
        tied, shared = [left.pop(0)], list[ChannelGroup]()
        for block in tied:
            for group in across:
                if group in shared or not any(name in block.layers for name in group.layers):
                    continue
                shared.append(group)
                names = _touched(group, block_of)
                tied += [other for other in left if other.name in names]
                left = [other for other in left if other.name not in names]
        yield shared, tied


def _touched(group: ChannelGroup, block_of: Mapping[str, ResidualBlock]) -> set[str]:
    return {block_of[name].name for name in group.layers if name in block_of}


def _within(group: ChannelGroup, block_of: Mapping[str, ResidualBlock]) -> bool:
    """Whether all of a group's layers are in one block."""
    blocks = {block_of.get(name) for name in group.layers}
    return len(blocks) == 1 and None not in blocks
