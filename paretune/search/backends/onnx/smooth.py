"""SmoothQuant of a whole graph."""

from collections.abc import Collection, Iterable

import numpy as np
from onnx import ModelProto

from paretune.evaluators import Batch
from paretune.search.backends.onnx.calibration import chunks
from paretune.search.backends.onnx.graph import Array, Graph
from paretune.search.backends.onnx.layers import find_layers
from paretune.search.backends.onnx.rescaling import Scaled, rescaled
from paretune.search.backends.onnx.scale_map import map_scales
from paretune.search.backends.onnx.session import open_session, run
from paretune.search.backends.onnx.solvers.scaling import largest, smoothing_scales

_PRODUCTS = frozenset({"MatMul", "Gemm"})


def smooth(graph: Graph, batches: Iterable[Batch], strength: float) -> ModelProto:
    """The same function with outliers of activations moved into the weights that read them
    (Xiao et al., SmoothQuant, arXiv:2211.10438).

    Channels count that only `MatMul` and `Gemm` layers read, and whose scale a normalization, a
    constant factor or a layer takes; nothing is added to the graph.

    Args:
        graph: clean; it stays as it is.
        batches: calibration data.
        strength: the paper's α, above 0 and up to 1.
    """
    found = map_scales(graph, find_layers(graph))
    readers: list[Scaled] = []
    free = np.ones(found.count, bool)
    for one in found.constants:
        if one.layer is None or not one.inputs.any():
            continue
        if one.layer.layer.op_type in _PRODUCTS:
            readers.append(one)
        else:
            free[one.inputs] = False
    seen = channel_absmax(graph, {one.layer.data for one in readers if one.layer}, batches)
    data, weights = np.zeros(found.count), np.zeros(found.count)
    for one in readers:
        assert one.layer is not None
        values = seen[one.layer.data]
        magnitude = np.abs(graph.constants[one.constant])
        np.maximum(data, largest(values, one.inputs.reshape(-1), found.count), out=data)
        np.maximum(weights, largest(magnitude, one.inputs, found.count), out=weights)
    scales = smoothing_scales(data, weights, strength)
    free[0] = False
    return rescaled(graph, found, np.where(free, scales, 1.0))


def channel_absmax(
    graph: Graph, tensors: Collection[str], batches: Iterable[Batch]
) -> dict[str, Array]:
    """The largest magnitude of each channel of float tensors whose channels are the last axis.

    Returns:
        tensor name to shape (channels,).
    """
    found: dict[str, Array] = {}
    if not tensors:
        return found
    session = open_session(graph.model, sorted(set(tensors) - graph.inputs))
    for batch in chunks(graph, batches):
        values = {**batch.inputs, **run(session, batch.inputs)}
        for name in tensors:
            wide = np.abs(values[name]).reshape(-1, values[name].shape[-1])
            each = wide.max(axis=0, initial=0.0)
            found[name] = np.maximum(found[name], each) if name in found else each
    return found
