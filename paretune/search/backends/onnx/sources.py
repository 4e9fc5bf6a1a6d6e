"""What is left of a layer when channels are removed, ready for the solvers."""

import numpy as np

from paretune.search.backends.onnx.biases import find_bias
from paretune.search.backends.onnx.calibration import Statistics
from paretune.search.backends.onnx.graph import Array, Graph
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.matrices import to_matrix, to_weight
from paretune.search.backends.onnx.moments import is_narrow
from paretune.search.backends.onnx.quantize import least_weight_scale
from paretune.search.backends.onnx.removal import Removal
from paretune.search.backends.onnx.solvers.bias import centred
from paretune.search.backends.onnx.solvers.problem import Matrix
from paretune.search.backends.onnx.solvers.refit import refit
from paretune.search.backends.onnx.techniques import Source
from paretune.search.backends.onnx.unfold import unfolding_of


def source_of(
    graph: Graph,
    statistics: Statistics,
    layer: WeightedNode,
    removal: Removal,
    input_scale: Array | None = None,
    *,
    naive: bool = False,
) -> Source:
    """The layer's weights and the statistics of its inputs, without removed channels.

    Where inputs are removed, the other weights are re-fitted.

    Args:
        graph: clean.
        statistics: of the layer before anything is removed.
        layer: of the graph.
        removal: which channels go.
        input_scale: of the integers that a static int8 layer reads.
        naive: leave the weights and the mean output as they are.
    """
    moment, mean = statistics.moment(layer.name), statistics.mean(layer.name)
    whole = graph.constants[layer.weight]
    weight = removal.cut(layer.weight, whole)
    shift: Array | None = None
    lost = 0.0
    correctable = not naive and find_bias(graph, layer) is not None
    if not naive and loses_inputs(layer, removal):
        rows, columns = removal.cut(layer.weight, whole, layer.out_axis), removal.columns(layer)
        found = refit(to_matrix(layer, rows), moment, mean if correctable else None, columns)
        weight = to_weight(layer, found.weights.astype(np.float32), weight.shape)
        moment, mean, lost = found.moment, mean[:, columns], found.error
        shift = found.shift[0] if correctable else None
    else:
        moment, mean = _left(layer, moment, mean, removal)
        moment = centred(moment, mean) if correctable else moment
    least = None
    if layer.bias and input_scale is not None:
        before = removal.cut(layer.bias, graph.constants[layer.bias])
        after = before if shift is None else (before + shift).astype(np.float32)
        least = least_weight_scale(after, input_scale)
    mean = mean if correctable else np.zeros_like(mean)
    return Source(layer, weight, moment, mean, least, naive, shift, lost)


def loses_inputs(layer: WeightedNode, removal: Removal) -> bool:
    """Whether some inputs of the layer go that the others can stand in for."""
    unfolding = unfolding_of(layer)
    whole = layer.layer.weight_shape[layer.in_axis]
    fewer = len(removal.kept(layer.weight, layer.in_axis, whole)) < whole
    return fewer and unfolding is not None and is_narrow(unfolding)


def _left(
    layer: WeightedNode, moment: Matrix, mean: Matrix, removal: Removal
) -> tuple[Matrix, Matrix]:
    """Second moment and mean of the inputs that stay."""
    if layer.depthwise:
        groups = removal.kept(layer.weight, 0, layer.layer.weight_shape[0])
        return moment[groups], mean[groups]
    columns = removal.columns(layer)
    if len(columns) == moment.shape[2]:
        return moment, mean
    return moment[:, columns[:, None], columns], mean[:, columns]
