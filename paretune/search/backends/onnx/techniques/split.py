"""How a layer of low rank becomes two: their shapes, their nodes and their work."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import helper

from paretune.search.backends.onnx.graph import attributes
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.solvers.spatial import Kernel
from paretune.spaces import Layer

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Split:
    """A layer as an inner one, which makes `rank` values, and an outer one, which reads them.

    Attributes:
        layer: the whole: `Gemm`, `MatMul`, or `Conv` without groups.
        shape: of its weight, without removed channels.
        kernel: what of the kernel goes where. In channel form all positions are the inner layer's
            `height`; in spatial form the outer layer has the width.
    """

    layer: WeightedNode
    shape: Shape
    kernel: Kernel

    @property
    def cost(self) -> float:
        """Multiply-accumulates for a rank of 1, relative to those of the whole.

        An inner convolution in spatial form works before the horizontal stride.
        """
        rows, width = self.shape[self.layer.out_axis], self.kernel.width
        columns = int(np.prod(self.shape)) // rows
        stride = self._values.get("strides", (1, 1))[1] if width > 1 else 1
        return (columns / width * stride + rows * width) / (rows * columns)

    def rank(self, amount: float) -> int:
        """The rank that saves about a share `amount` of the work; 0 if no rank saves any.

        It is a multiple of 8, below 32 of 4, where that saves work: runtimes compute channels in
        vectors, and with an odd count two convolutions can be slower than one.
        """
        wanted = (1 - amount) / self.cost
        grain = 8 if wanted >= 32 else 4
        snapped = int(wanted / grain + 0.5) * grain
        options = (snapped, snapped - grain, int(wanted + 0.5), int(wanted), 1)
        return next((rank for rank in options if rank > 0 and rank * self.cost < 1), 0)

    def parts(self, rank: int) -> tuple[WeightedNode, WeightedNode]:
        """The inner and the outer layer; the outer one keeps name, bias and output of the whole."""
        whole = self.layer
        inputs, outputs = self.shape[whole.in_axis], self.shape[whole.out_axis]
        inner: Shape = (inputs, rank)
        outer: Shape = (rank, outputs)
        near: dict[str, Any] = {}
        far: dict[str, Any] = {}
        if whole.layer.op_type == "Conv":
            near, far = self._attributes()
            inner = (rank, inputs, *near["kernel_shape"])
            outer = (outputs, rank, *far["kernel_shape"])
        between = f"{whole.stem}inner"
        first = replace(whole, bias="", stem=f"{whole.stem}inner/")
        second = replace(whole, data=between, stem=f"{whole.stem}outer/")
        return (
            _part(first, between, inner, between, near),
            _part(second, whole.name, outer, whole.node.output[0], far),
        )

    def _attributes(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Of the inner and the outer convolution."""
        size = self.shape[2:]
        values = {k: v for k, v in self._values.items() if k not in ("group", "kernel_shape")}
        if self.kernel.width == 1:
            return {**values, "kernel_shape": size}, {"kernel_shape": [1] * len(size)}
        near, far = {"kernel_shape": [size[0], 1]}, {"kernel_shape": [1, size[1]]}
        for name in values.keys() & {"strides", "dilations"}:
            down, right = values[name]
            near[name], far[name] = [down, 1], [1, right]
        if "pads" in values:
            top, left, bottom, right = values["pads"]
            near["pads"], far["pads"] = [top, 0, bottom, 0], [0, left, 0, right]
        if "auto_pad" in values:
            near["auto_pad"] = far["auto_pad"] = values["auto_pad"]
        return near, far

    @property
    def _values(self) -> dict[str, Any]:
        return attributes(self.layer.node)


def splits(layer: WeightedNode, shape: Shape) -> list[Split]:
    """The forms that a layer can take, the simplest first.

    Args:
        shape: of its weight, without removed channels.
    """
    positions = int(np.prod(shape[2:]))
    found = [Split(layer, shape, Kernel(positions, 1))]
    if len(shape) == 4 and min(shape[2:]) > 1:
        found.append(Split(layer, shape, Kernel(*shape[2:])))
    return found


def _part(
    layer: WeightedNode, name: str, shape: Shape, output: str, values: dict[str, Any]
) -> WeightedNode:
    kind, weight = layer.layer.op_type, f"{layer.stem}weight"
    inputs = [layer.data, weight, *([layer.bias] if layer.bias else [])]
    node = helper.make_node(kind, inputs, [output], name, **values)
    made = Layer(name, kind, shape, int(np.prod(shape)), None)
    return replace(layer, layer=made, node=node, weight=weight)
