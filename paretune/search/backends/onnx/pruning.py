"""Pruning: the order in which the channels of a group leave."""

from collections.abc import Mapping, Sequence

import numpy as np

from paretune.search.backends.onnx.calibration import Statistics
from paretune.search.backends.onnx.channels import Atoms, ChannelMap
from paretune.search.backends.onnx.graph import Array
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.matrices import to_matrix
from paretune.search.backends.onnx.moments import is_narrow
from paretune.search.backends.onnx.solvers.problem import Matrix
from paretune.search.backends.onnx.solvers.selection import Indices, Reader, importance_order
from paretune.search.backends.onnx.unfold import unfolding_of


def channel_order(
    group: str,
    channels: ChannelMap,
    layers: Sequence[WeightedNode],
    weights: Mapping[str, Array],
    statistics: Statistics,
    *,
    naive: bool = False,
) -> Indices:
    """Numbers of a group's channels, the one whose removal hurts most first.

    Removing a channel takes an input from every layer that reads it. What that costs is the share
    of their outputs' mean square that is lost, added up over them.

    Args:
        group: its name.
        channels, layers: of the graph.
        weights: constant name to array.
        statistics: from calibration.
        naive: no other channel makes up for the one that leaves, and inputs are uncorrelated: the
            loss is the sum of w² E[x²].

    Returns:
        shape (channels of the group,).
    """
    atoms = channels.atoms[group]
    losses = np.zeros(len(atoms))
    readers = []
    for layer in layers:
        inputs = channels.inputs.get(layer.name)
        if inputs is None or not np.isin(inputs, atoms).any():
            continue
        matrix = to_matrix(layer, weights[layer.weight])[0]
        columns = [_columns(inputs, atom, matrix.shape[1]) for atom in atoms.tolist()]
        loss = _uncorrelated(matrix, statistics.inputs.diagonal(layer.name)[0], columns)
        losses += loss
        if naive:
            continue
        unfolding = unfolding_of(layer)
        equal = len({len(each) for each in columns}) == 1
        if unfolding is not None and is_narrow(unfolding) and equal:
            moment = statistics.moment(layer.name)[0]
            readers.append(Reader(matrix, moment, np.array(columns)))
        else:
            readers.append(_as_reader(loss))
    alone = np.argsort(-losses, kind="stable")
    if naive:
        return alone
    try:
        return importance_order(readers, len(atoms))
    except np.linalg.LinAlgError:
        # One value of 1e38 among others of 1: rounding leaves nothing of how they correlate.
        return alone


def _columns(inputs: Atoms, atom: int, columns: int) -> Indices:
    """Those of a matrix that meet a channel."""
    starts = np.arange(0, columns, len(inputs))
    found: Indices = (starts[:, None] + np.flatnonzero(inputs == atom)).ravel()
    return found


def _uncorrelated(matrix: Matrix, squares: Matrix, columns: Sequence[Indices]) -> Matrix:
    """Share of the output's mean square that each channel makes, shape (channels,)."""
    each = np.square(matrix).sum(axis=0) * squares
    whole = each.sum()
    return np.array([each[own].sum() for own in columns]) / (whole if whole > 0 else 1.0)


def _as_reader(loss: Matrix) -> Reader:
    """One that loses these shares, whatever else is removed."""
    rest = max(0.0, 1.0 - float(loss.sum()))
    weights = np.sqrt(np.append(loss, rest))[None]
    return Reader(weights, np.eye(len(loss) + 1), np.arange(len(loss))[:, None])
