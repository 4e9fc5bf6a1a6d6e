"""Compressing one layer: its weights and statistics, as a policy leaves them, go to the solvers."""

from collections.abc import Iterable

from onnx import TensorProto

from paretune.search.backends.onnx.graph import Array
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.parts import Parts
from paretune.search.backends.onnx.removal import Removal
from paretune.search.backends.onnx.sources import loses_inputs, source_of
from paretune.search.backends.onnx.techniques import Source
from paretune.search.backends.onnx.weights import encode
from paretune.spaces import Channel, Choice, Dense


class Compressor:
    """Compresses layers of which some channels may have been removed.

    Args:
        parts: of the model.
        removal: what goes.
    """

    def __init__(self, parts: Parts, removal: Removal) -> None:
        self._parts = parts
        self._removal = removal

    def tensors(self, layer: WeightedNode, choice: Choice) -> Iterable[TensorProto]:
        """What `encode` makes, from the store where it was made before.

        Raises:
            Infeasible: the layer cannot have the pattern.
        """
        own = Dense() if isinstance(choice.sparsity, Channel) else choice.sparsity
        choice = Choice(choice.precision, own)
        # What a layer reads is another tensor where the block before it was dropped.
        key = f"{layer.name}@{layer.data}+{choice}{self._removal.key(layer.weight)}"
        return self._parts.store.get(key, lambda: encode(self._source(layer), choice))

    def constant(self, name: str) -> Array:
        """A constant of the graph without removed channels."""
        return self._removal.cut(name, self._parts.graph.constants[name])

    def shape(self, layer: WeightedNode) -> tuple[int, ...]:
        """Of the layer's weight without removed channels."""
        return self._removal.shape(layer)

    def refits(self, layer: WeightedNode) -> bool:
        """Whether the layer's weights change because it loses inputs."""
        return not self._parts.naive and loses_inputs(layer, self._removal)

    def _source(self, layer: WeightedNode) -> Source:
        parts, input_scale = self._parts, None
        if layer.data in parts.statistics.ranges:
            input_scale, _ = parts.activations.parameters(*parts.statistics.ranges[layer.data])
        return source_of(
            parts.graph, parts.statistics, layer, self._removal, input_scale, naive=parts.naive
        )
