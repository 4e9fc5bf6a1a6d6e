"""Pruning: which weights and channels hurt least, by magnitude and by what they multiply.

Zeroing a weight w that multiplies an input x changes the output's mean square by w² E[x²] if inputs
are uncorrelated (the diagonal of Optimal Brain Surgeon; Wanda, arXiv:2306.11695, is its root).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from paretune.errors import Infeasible
from paretune.search.backends.onnx.channels import Atoms, ChannelMap
from paretune.search.backends.onnx.graph import Array
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.spaces import NM, Sparsity, Unstructured


def damage(layer: WeightedNode, weight: Array, moment: Array | None) -> Array:
    """Mean-square change of the output for each weight that would be zeroed.

    Args:
        layer: whose weight it is.
        weight: as stored.
        moment: E[x²] of each input channel, shape (in,), or None to go by magnitude alone.

    Returns:
        shape of `weight`.
    """
    squared: Array = np.square(weight, dtype=np.float32)
    if moment is None:
        return squared
    if layer.group > 1 and layer.layer.op_type == "Conv":
        # Output channels of one convolution group read one slice of the input channels.
        per_group = moment.reshape(layer.group, -1)
        rows = np.repeat(per_group, weight.shape[0] // layer.group, axis=0)
        scores: Array = squared * rows.reshape(*rows.shape, *[1] * (weight.ndim - 2))
        return scores
    shape = [1] * weight.ndim
    shape[layer.in_axis] = weight.shape[layer.in_axis]
    scores = squared * moment.reshape(shape)
    return scores


def mask(layer: WeightedNode, scores: Array, sparsity: Sparsity) -> Array:
    """Which weights stay.

    Args:
        layer: whose weights they are.
        scores: the damage of each, shape of the weight.
        sparsity: `Unstructured` or `NM`.

    Returns:
        bool, shape of the weight.

    Raises:
        Infeasible: the pattern does not fit the layer.
    """
    if isinstance(sparsity, Unstructured):
        return _without_lowest(scores, zeros_for(sparsity.amount, scores.size))
    if isinstance(sparsity, NM):
        return _n_of_m(layer, scores, sparsity)
    raise Infeasible(f"{layer.name}: {sparsity} is no pattern of zeros")


def zeros_for(amount: float, size: int) -> int:
    """How many of `size` weights are zero at a share of `amount`."""
    return int(np.floor(amount * size + 1e-9))


def _without_lowest(scores: Array, count: int) -> Array:
    kept = np.ones(scores.size, bool)
    # Stable, so that equal scores fall alike everywhere: same policy, same bytes.
    kept[np.argsort(scores, axis=None, kind="stable")[:count]] = False
    return kept.reshape(scores.shape)


def _n_of_m(layer: WeightedNode, scores: Array, pattern: NM) -> Array:
    inputs = scores.shape[layer.in_axis]
    if inputs < pattern.m:
        raise Infeasible(f"{layer.name}: {pattern} needs {pattern.m} inputs, it has {inputs}")
    last = np.moveaxis(scores, layer.in_axis, -1)
    full = inputs // pattern.m * pattern.m
    blocks = last[..., :full].reshape(*last.shape[:-1], -1, pattern.m)
    rank = np.argsort(np.argsort(-blocks, axis=-1, kind="stable"), axis=-1, kind="stable")
    kept = np.ones(last.shape, bool)
    kept[..., :full] = (rank < pattern.n).reshape(*last.shape[:-1], full)
    if tail := inputs - full:
        rest = last[..., full:]
        rank = np.argsort(np.argsort(-rest, axis=-1, kind="stable"), axis=-1, kind="stable")
        kept[..., full:] = rank < min(pattern.n, tail)
    return np.moveaxis(kept, -1, layer.in_axis)


def channel_order(
    channels: ChannelMap,
    layers: Sequence[WeightedNode],
    weights: Mapping[str, Array],
    moments: Mapping[str, Array],
) -> dict[str, Atoms]:
    """For each group its atoms, the one whose removal hurts most first.

    Removing a channel takes an input from every layer that reads it. Its importance is the share
    that it has in the output of those layers, added up over them.

    Args:
        channels: of the graph.
        layers: of the graph.
        weights: constant name to array.
        moments: layer name to E[x²] of its input channels.
    """
    importance: dict[int, float] = {}
    for layer in layers:
        atoms = channels.inputs.get(layer.name)
        if atoms is None or layer.name not in moments:
            continue
        scores = damage(layer, weights[layer.weight], moments[layer.name])
        others = tuple(a for a in range(scores.ndim) if a != layer.in_axis)
        share = scores.sum(axis=others, dtype=np.float64)
        share /= max(float(share.sum()), float(np.finfo(np.float32).tiny))
        for atom, value in zip(atoms.tolist(), share.tolist(), strict=True):
            importance[atom] = importance.get(atom, 0.0) + value
    return {
        name: atoms[np.argsort([-importance.get(a, 0.0) for a in atoms.tolist()], kind="stable")]
        for name, atoms in channels.atoms.items()
    }
