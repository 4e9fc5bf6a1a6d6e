"""What a technique is: a number format for weights, or a pattern of zeros in them.

A format fills the precision of a choice, a pattern its sparsity. Each is one file; the entry points
in the group `paretune.techniques` name them, those of Paretune as those of other packages.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from paretune.search.backends.onnx.graph import Array
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.matrices import to_matrix
from paretune.search.backends.onnx.solvers.grid import Grid
from paretune.search.backends.onnx.solvers.patterns import Pattern
from paretune.search.backends.onnx.solvers.problem import Matrix, Problem
from paretune.spaces import Sparsity, Support

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Gather")
"""Operator types that have weights."""


@dataclass(frozen=True)
class Source:
    """A layer's weights, ready to be compressed.

    Attributes:
        layer: where it sits.
        weight: float32, as stored in the graph, without removed channels.
        moment: of the inputs that are left, shape (groups, columns, columns).
        mean: of the inputs that are left, shape (groups, columns); zeros where the layer has no
            bias that could take up what the mean output changes by.
        least_scale: below which a static int8 scale makes the bias overflow, shape (out,); None
            for any.
        naive: nearest values and smallest weights instead of the solvers: for comparison.
        shift: what removing inputs already adds to the bias, shape (out,); None for nothing.
        lost: mean square of what removing inputs already changes the output by, after re-fitting.
        sparse: a pattern will set weights to 0, so the grid has to hold it.
    """

    layer: WeightedNode
    weight: Array
    moment: Matrix
    mean: Matrix
    least_scale: Array | None = None
    naive: bool = False
    shift: Array | None = None
    lost: float = 0.0
    sparse: bool = False

    @cached_property
    def problem(self) -> Problem:
        """What the solvers get."""
        return Problem(to_matrix(self.layer, self.weight), self.moment)

    @property
    def name(self) -> str:
        """Of the stored weight; what belongs to it is called `NAME/scale` and so on."""
        return f"{self.layer.stem}weight"


class Place(Protocol):
    """Where a layer's nodes go."""

    @property
    def layer(self) -> WeightedNode:
        """The layer that is placed."""
        ...

    @property
    def weight(self) -> str:
        """Name of the stored weight, `Source.name`."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weight, without removed channels."""
        ...

    def own(self, weight: str, *, data: str = "", bias: str = "") -> None:
        """Add the layer's own node, reading the float tensor `weight`.

        Args:
            data, bias: instead of those that the layer reads.
        """
        ...

    @property
    def product(self) -> str:
        """What a node that stands for the layer, but adds no bias, has to write."""
        ...

    def named(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        """Add a node that stands for the layer: it bears the layer's name."""
        ...

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a further node; its name is made from `output`, which is returned."""
        ...

    def add_bias(self) -> None:
        """Add the bias to `product`."""
        ...

    def int8_data(self) -> str:
        """The layer's input, rounded to the values that 8 bits can represent."""
        ...

    def int32_bias(self) -> str:
        """The bias, rounded to the scale of an int32 accumulator; empty if there is none."""
        ...

    def dynamic_data(self) -> tuple[str, str, str]:
        """The layer's input as uint8, with a scale and a zero point found at run time."""
        ...


@dataclass(frozen=True)
class Stored:
    """A weight as it was found in an artifact.

    Attributes:
        shape: of the layer's weight.
        nonzero: gives bool of that shape, which weights are not zero.
    """

    shape: tuple[int, ...]
    nonzero: Callable[[], Array]


class View:
    """An artifact, to be read back."""

    def __init__(self, model: ModelProto) -> None:
        self.nodes = {node.name: node for node in model.graph.node}
        self.producers = {name: node for node in model.graph.node for name in node.output}
        self.tensors: Mapping[str, TensorProto] = {t.name: t for t in model.graph.initializer}

    def array(self, name: str) -> Array:
        return numpy_helper.to_array(self.tensors[name])

    def made_by(self, tensor: str, kind: str) -> bool:
        return tensor in self.producers and self.producers[tensor].op_type == kind

    def chain(self, layer: WeightedNode, node: NodeProto) -> tuple[list[str], str]:
        """How the float weight that `node` reads is made: operators from the node back to the
        constant, following first inputs, and the constant's name.
        """
        name = node.input[0 if layer.layer.op_type == "Gather" else 1]
        kinds = []
        while name in self.producers:
            kinds.append(self.producers[name].op_type)
            name = self.producers[name].input[0]
        return kinds, name


class Format(Protocol):
    """A way to store and compute with a layer's weights: a precision.

    Attributes:
        supports: operator type to what ONNX Runtime makes of it on a CPU; others are refused.
    """

    @property
    def supports(self) -> Mapping[str, Support]: ...

    def grid(self, source: Source, problem: Problem) -> Grid | None:
        """The values that the weights may take; None for any float32."""
        ...

    def store(self, source: Source, grid: Grid | None, found: Matrix) -> list[TensorProto]:
        """Initializers: `Source.name` and others that begin with it.

        Args:
            found: values of the grid.
        """
        ...

    def emit(self, place: Place) -> None:
        """Add the nodes that compute the layer from what `store` made."""
        ...

    def read(self, view: View, layer: WeightedNode, node: NodeProto) -> Stored | None:
        """What is stored for the layer, or None if it is not in this format.

        Args:
            node: of the layer's name.
        """
        ...

    def size(self, layer: WeightedNode, shape: tuple[int, ...]) -> int:
        """Bytes of a weight of this shape."""
        ...


class Zeros(Protocol):
    """Which weights of a layer are zero: a sparsity."""

    def pattern(self, source: Source, sparsity: Sparsity) -> Pattern:
        """What the solvers have to know.

        Raises:
            Infeasible: the layer cannot have it; the message begins with the layer's name.
        """
        ...

    def holds(self, layer: WeightedNode, sparsity: Sparsity, kept: Matrix) -> bool:
        """Whether an artifact has the pattern.

        Args:
            kept: 1 where a weight is not zero, else 0, shape (groups, rows, columns).
        """
        ...


def tensor(array: Array, name: str) -> TensorProto:
    """An initializer."""
    return numpy_helper.from_array(np.asarray(array, order="C"), name)
