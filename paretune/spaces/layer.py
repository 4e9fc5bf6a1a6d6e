"""Layers of a graph, and which of them must agree."""

from dataclasses import dataclass
from math import ceil, prod

from paretune.spaces.sparsity import NM, Drop, LowRank, Sparsity


@dataclass(frozen=True)
class Layer:
    """A node of the graph that owns weights.

    Attributes:
        name: unique node name.
        op_type: ONNX operator, such as `Conv` or `MatMul`.
        weight_shape: shape as stored in the graph, e.g. (out, in / group, kh, kw) for `Conv`.
        parameters: number of weights and biases.
        macs: multiply-accumulates for one sample, or None where the shapes do not tell.
        group: groups of a convolution.
    """

    name: str
    op_type: str
    weight_shape: tuple[int, ...]
    parameters: int
    macs: int | None
    group: int = 1

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
        """Whether the pattern has room in the layer."""
        if isinstance(sparsity, Drop):
            return True
        if isinstance(sparsity, LowRank):
            return self._saves_work_at_rank_1
        return self.inputs >= (sparsity.m if isinstance(sparsity, NM) else 1)

    @property
    def _saves_work_at_rank_1(self) -> bool:
        if self.op_type not in ("Conv", "Gemm", "MatMul") or self.group > 1:
            return False
        weights, rows = prod(self.weight_shape), self.weight_shape[self.op_type != "Conv"]
        return rows + weights // rows < weights


@dataclass(frozen=True)
class ChannelGroup:
    """Layers whose output channels are the same channels, tied by adds, depthwise convolutions, ...

    Either all of them lose the same channels or none does.

    Attributes:
        name: the name of the group's first layer in graph order.
        layers: names of the layers, in graph order.
        size: number of channels of the first layer; every layer loses the same share of its own.
        unit: so many of them can only go together, as the channels of one attention head.
    """

    name: str
    layers: tuple[str, ...]
    size: int
    unit: int = 1

    def keep(self, amount: float, grain: int) -> int:
        """How many channels stay when a share `amount` is to go: the nearest multiple of a step.

        A runtime computes channels in vectors; a count that is no multiple of its grain can be
        slower than the full layer. So a step is as many units as it takes to reach the grain. At
        least one step stays; a group that cannot lose a whole step keeps all its channels.
        """
        step = ceil(grain / self.unit) * self.unit
        wanted = self.size * (1.0 - amount)
        snapped = max(step, round(wanted / step) * step)
        return min(self.size, snapped)

    def snapped(self, amount: float, grain: int) -> float:
        """The share that really goes when `amount` is asked for; `keep` of it is the same count."""
        return 1.0 - self.keep(amount, grain) / self.size


@dataclass(frozen=True)
class ResidualBlock:
    """Layers between a tensor and what is added to it: y = x + f(x). Dropped, they leave y = x.

    Attributes:
        name: the name of the block's first layer in graph order.
        layers: names of the layers, in graph order. All are dropped or none is.
    """

    name: str
    layers: tuple[str, ...]
