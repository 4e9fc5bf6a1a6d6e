"""All that a policy can need, made once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from paretune.errors import Infeasible
from paretune.search.backends.onnx.activations import Activations
from paretune.search.backends.onnx.blocks import Branch, without
from paretune.search.backends.onnx.calibration import Statistics
from paretune.search.backends.onnx.channels import ChannelMap
from paretune.search.backends.onnx.graph import Array, Graph
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.pieces import PieceStore
from paretune.spaces import Drop, Policy


@dataclass(frozen=True)
class Parts:
    """All that assembling needs; the same for every policy.

    Attributes:
        graph: clean.
        layers: name to layer, in graph order.
        channels: of the graph.
        order: group name to its atoms, most important first.
        statistics: from calibration.
        store: of encoded weights.
        naive: nearest values and smallest weights instead of the solvers.
        activations: the integers between int8 nodes.
        integer_only: let all operators run in int8 that can.
        blocks: that may be dropped, in the order of their ends.
    """

    graph: Graph
    layers: Mapping[str, WeightedNode]
    channels: ChannelMap
    order: Mapping[str, Array]
    statistics: Statistics
    store: PieceStore
    naive: bool = False
    activations: Activations = field(default_factory=Activations)
    integer_only: bool = False
    blocks: tuple[Branch, ...] = ()

    def without_dropped(self, policy: Policy) -> "Parts":
        """The same for what is left of the graph without the blocks that `policy` drops.

        Raises:
            Infeasible: it drops a layer, but not all of a block.
        """
        gone = {name for name, choice in policy if isinstance(choice.sparsity, Drop)}
        if not gone:
            return self
        dropped = [branch for branch in self.blocks if gone.issuperset(branch.block.layers)]
        alone = gone - {name for branch in dropped for name in branch.block.layers}
        if alone:
            raise Infeasible(f"{min(alone)}: only a whole residual block can be dropped")
        graph, layers = without(self.graph, self.layers, dropped)
        return replace(self, graph=graph, layers=layers)
