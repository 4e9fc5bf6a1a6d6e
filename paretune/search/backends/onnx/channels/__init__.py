"""Channel groups: which channels of a graph are the same channel and can be removed together.

Every channel of every tensor is an atom. Operators that need two channels to agree (a residual add,
a depthwise convolution, the heads of an attention) unite their atoms; operators that mix or count
channels in a way that removal would change freeze them. What is left are groups of layers whose
output channels are the same free atoms. Channels of one layer that can only go together, such as
those of an attention head, are one atom: a unit.
"""

from paretune.search.backends.onnx.channels.atoms import Atoms
from paretune.search.backends.onnx.channels.channel_map import ChannelMap, Count, Slice
from paretune.search.backends.onnx.channels.mapping import map_channels

__all__ = ["Atoms", "ChannelMap", "Count", "Slice", "map_channels"]
