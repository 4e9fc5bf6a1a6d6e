"""Scales of channels that leave a network's function as it is, and make it easier to quantize.

Channels are given by numbers, called atoms. The values of atom a are divided by its scale, and all
weights that read it are multiplied by the scale. Atom 0 keeps the scale 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.search.backends.onnx.solvers.problem import Matrix

Atoms = NDArray[np.int64]

_LIMIT = np.log(1e4)
"""Of the logarithm of a scale: float32 still holds what is multiplied by it."""


@dataclass(frozen=True)
class Linked:
    """A constant whose entries are multiplied by the scales of `inputs` over those of `outputs`.

    Attributes:
        magnitude: of the entries, not negative, float of any shape.
        inputs, outputs: atoms, of shapes that broadcast to that of `magnitude`.
    """

    magnitude: NDArray[Any]
    inputs: Atoms
    outputs: Atoms


def equalizing_scales(
    constants: Sequence[Linked], free: NDArray[np.bool_], tolerance: float = 1e-3, most: int = 1000
) -> Matrix:
    """Scales that make each channel as wide where it is written as where it is read.

    Cross-layer equalization (Nagel et al., arXiv:1906.04721): s = sqrt(r1 / r2), where r1 is the
    largest weight that writes the channel and r2 the largest that reads it, for all channels until
    nothing changes. In logarithms, one round of it for all channels at once moves no two points
    further apart, so rounds that go half the way converge (Krasnosel'skii and Mann).

    Args:
        constants: weights, and what is added to channels.
        free: shape (atoms,), which may get a scale other than 1.
        tolerance: of a scale, relative.
        most: rounds.

    Returns:
        shape (atoms,), positive; 1 for a channel that only zeros write or only zeros read.
    """
    short = [_condensed(one) for one in constants]
    logs = np.zeros(len(free))
    for _ in range(most):
        scales = np.exp(logs)
        written, read = np.zeros(len(free)), np.zeros(len(free))
        for one in short:
            into = largest(one.magnitude * scales[one.inputs], one.outputs, len(free))
            out_of = largest(one.magnitude / scales[one.outputs], one.inputs, len(free))
            written, read = np.maximum(written, into), np.maximum(read, out_of)
        moving = free & (written > 0) & (read > 0)
        moving[0] = False
        wanted = np.log(written[moving] / read[moving]) / 2
        step = np.clip(wanted, -_LIMIT, _LIMIT) - logs[moving]
        if np.abs(step).max(initial=0.0) <= tolerance:
            break
        logs[moving] += step / 2
    return np.exp(logs)


def smoothing_scales(data: Matrix, weights: Matrix, strength: float) -> Matrix:
    """Scales that move the outliers of activations into the weights.

    SmoothQuant (Xiao et al., arXiv:2211.10438, eq. 4): s = max|X|^α / max|W|^(1 - α).

    Args:
        data: largest magnitude of each channel, shape (atoms,).
        weights: of the weights that read it, shape (atoms,).
        strength: α, from 0 (even weights) to 1 (even activations).

    Returns:
        shape (atoms,), positive; 1 where `data` or `weights` is 0.
    """
    alive = (data > 0) & (weights > 0)
    logs = np.zeros(len(data))
    logs[alive] = strength * np.log(data[alive]) - (1 - strength) * np.log(weights[alive])
    return np.exp(np.clip(logs, -_LIMIT, _LIMIT))


def _condensed(one: Linked) -> Linked:
    """The largest of all entries with the same atoms, such as those of one kernel."""
    rank = one.magnitude.ndim
    inputs = one.inputs.reshape((1,) * (rank - one.inputs.ndim) + one.inputs.shape)
    outputs = one.outputs.reshape((1,) * (rank - one.outputs.ndim) + one.outputs.shape)
    sizes = np.maximum(inputs.shape, outputs.shape)
    alike = tuple(axis for axis, size in enumerate(sizes) if size == 1)
    wide = one.magnitude.max(axis=alike, keepdims=True, initial=0.0)
    return Linked(wide.astype(np.float64), inputs, outputs)


def largest(values: NDArray[Any], atoms: Atoms, count: int) -> Matrix:
    """The largest of the values of each atom, shape (count,); 0 for an atom without any.

    Args:
        values: not negative.
        atoms: of a shape that broadcasts to that of `values`.
    """
    lined = atoms.reshape((1,) * (values.ndim - atoms.ndim) + atoms.shape)
    shared = tuple(axis for axis, size in enumerate(lined.shape) if size == 1)
    found = np.zeros(count)
    np.maximum.at(found, lined, values.max(axis=shared, keepdims=True, initial=0.0))
    return found
