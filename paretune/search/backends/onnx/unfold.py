"""How a layer reads its input tensor: the vectors x of its y = W x."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from paretune.search.backends.onnx.graph import Array, attributes
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.solvers.problem import Matrix

_PIECE_VALUES = 2**22
"""32 MiB in float64."""


@dataclass(frozen=True)
class Unfolding:
    """Which vectors a layer takes from a tensor; layers that agree in it share their statistics.

    A vector's entries are in the order (kernel position, input channel), the channel running
    fastest, as the columns of `to_matrix`.

    Attributes:
        tensor: name of the input.
        columns: length of a vector.
        groups: parts of the input channels that meet different weights; each has its own vectors.
        channel_axis: 1 in convolutions, else -1.
        kernel, strides, dilations: of a convolution's window; empty without one.
        pads: at the begin of every axis, then at the end of every axis.
        auto_pad: `NOTSET`, `VALID`, `SAME_UPPER` or `SAME_LOWER`.
    """

    tensor: str
    columns: int
    groups: int = 1
    channel_axis: int = -1
    kernel: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    auto_pad: str = "NOTSET"

    def count(self, shape: Sequence[int]) -> int:
        """Number of vectors, per group, in a tensor of this shape."""
        if self.channel_axis < 0:
            return int(np.prod(shape[:-1]))
        return shape[0] * int(np.prod(self._outputs(shape[2:])))

    def vectors(self, array: Array, chosen: NDArray[np.int64]) -> Iterator[Matrix]:
        """The vectors with the numbers `chosen`, piece by piece.

        Args:
            array: value of the tensor.
            chosen: numbers, counted over (sample, output position).

        Yields:
            shape (groups, some of the vectors, columns).
        """
        last = np.moveaxis(array, self.channel_axis, -1)
        if self.channel_axis < 0:
            last = last.reshape(-1, array.shape[-1])
        outputs = self._outputs(last.shape[1:-1])
        padded = np.pad(last, [(0, 0), *self._margins(last.shape[1:-1]), (0, 0)])
        samples, *size, channels = padded.shape
        steps = [int(np.prod(size[axis + 1 :])) for axis in range(len(size))]
        positions = padded.reshape(-1, channels)
        starts = _grid(outputs, np.multiply(self.strides, steps))
        starts = _grid([samples], [int(np.prod(size))])[:, None] + starts
        offsets = _grid(self.kernel, np.multiply(self.dilations, steps))
        first = starts.reshape(-1)[chosen]
        length = max(1, _PIECE_VALUES // (self.groups * self.columns))
        for begin in range(0, len(first), length):
            taken = positions[first[begin : begin + length, None] + offsets]
            split = taken.reshape(len(taken), len(offsets), self.groups, -1)
            ordered = split.transpose(2, 0, 1, 3).astype(np.float64, order="C")
            yield ordered.reshape(self.groups, len(taken), self.columns)

    def _outputs(self, size: Sequence[int]) -> list[int]:
        """Output positions along each axis."""
        margins = self._margins(size)
        return [
            max(0, (n + sum(margin) - d * (k - 1) - 1) // s + 1)
            for n, margin, k, s, d in zip(
                size, margins, self.kernel, self.strides, self.dilations, strict=True
            )
        ]

    def _margins(self, size: Sequence[int]) -> list[tuple[int, int]]:
        """Zeros before and behind the input along each axis."""
        axes = len(size)
        if self.auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            windows = zip(size, self.kernel, self.strides, self.dilations, strict=True)
            totals = [max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n) for n, k, s, d in windows]
            halves = [(total // 2, total - total // 2) for total in totals]
            return halves if self.auto_pad == "SAME_UPPER" else [(b, a) for a, b in halves]
        if self.auto_pad == "VALID":
            return [(0, 0)] * axes
        return list(zip(self.pads[:axes], self.pads[axes:], strict=True))


def unfolding_of(layer: WeightedNode) -> Unfolding | None:
    """How the layer reads its input; None for `Gather`, which multiplies nothing.

    A `ConvTranspose` multiplies the channels of one input position with all of its kernel.
    """
    shape = layer.layer.weight_shape
    kernel = shape[2:]
    axes = len(kernel)
    ones = (1,) * axes
    match layer.layer.op_type:
        case "Gather":
            return None
        case "Conv":
            values = attributes(layer.node)
            return Unfolding(
                layer.data,
                int(np.prod(shape[1:])),
                layer.group,
                1,
                kernel,
                tuple(values.get("strides", ones)),
                tuple(values.get("dilations", ones)),
                tuple(values.get("pads", (0,) * 2 * axes)),
                values.get("auto_pad", b"NOTSET").decode(),
            )
        case "ConvTranspose":
            columns = shape[0] // layer.group
            return Unfolding(layer.data, columns, layer.group, 1, ones, ones, ones, (0,) * 2 * axes)
        case _:
            return Unfolding(layer.data, shape[0])


def _grid(counts: Sequence[int], steps: Sequence[int] | Array) -> NDArray[np.int64]:
    """Sum of index times step for every index into `counts`, the last axis running fastest."""
    axes = (np.arange(n, dtype=np.int64) * int(s) for n, s in zip(counts, steps, strict=True))
    return reduce(lambda sums, axis: (sums[:, None] + axis).reshape(-1), axes, np.zeros(1, "q"))
