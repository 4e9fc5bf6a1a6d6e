"""Layers of a graph, and the groups of layers whose channels must agree."""

from dataclasses import dataclass

from paretune.spaces.sparsity import NM, Sparsity


@dataclass(frozen=True)
class Layer:
    """A node of the graph that owns weights.

    Attributes:
        name: unique node name.
        op_type: ONNX operator, such as `Conv` or `MatMul`.
        weight_shape: shape as stored in the graph, e.g. (out, in / group, kh, kw) for `Conv`.
        parameters: number of weights and biases.
        macs: multiply-accumulates for one sample, or None where the shapes do not tell.
    """

    name: str
    op_type: str
    weight_shape: tuple[int, ...]
    parameters: int
    macs: int | None

    @property
    def inputs(self) -> int:
        """Length of the dimension that is summed over, 0 for a table that is only looked up."""
        match self.op_type:
            case "Conv":
                return self.weight_shape[1]
            case "Gather":
                return 0
            case _:
                return self.weight_shape[0]

    def fits(self, sparsity: Sparsity) -> bool:
        """Whether the pattern has room in the layer's inputs."""
        return self.inputs >= (sparsity.m if isinstance(sparsity, NM) else 1)


@dataclass(frozen=True)
class ChannelGroup:
    """Layers whose output channels are the same channels, tied by adds, depthwise convolutions, ...

    Either all of them lose the same channels or none does.

    Attributes:
        name: the name of the group's first layer in graph order.
        layers: names of the layers, in graph order.
        size: number of channels.
    """

    name: str
    layers: tuple[str, ...]
    size: int

    def keep(self, amount: float, grain: int) -> int:
        """How many channels stay when a share `amount` is to go: the nearest multiple of `grain`.

        A runtime computes channels in vectors; a count that is no multiple of its grain can be
        slower than the full layer. At least one grain stays; a group that cannot lose a whole
        grain keeps all its channels.
        """
        wanted = self.size * (1.0 - amount)
        snapped = max(grain, round(wanted / grain) * grain)
        return min(self.size, snapped)

    def snapped(self, amount: float, grain: int) -> float:
        """The share that really goes when `amount` is asked for; `keep` of it is the same count."""
        return 1.0 - self.keep(amount, grain) / self.size
