"""Running artifacts the way a user does: plain ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import numpy_helper

from paretune.evaluators import Batch
from paretune.search.backends.onnx.biases import find_bias
from paretune.search.backends.onnx.matrices import to_matrix, to_weight
from paretune.search.backends.onnx.parts import Parts
from paretune.search.backends.onnx.removal import Removal
from paretune.search.backends.onnx.solvers.refit import refit
from paretune.spaces import Policy


def outputs(model: Path | onnx.ModelProto, batch: Batch) -> dict[str, NDArray[Any]]:
    content = model.read_bytes() if isinstance(model, Path) else model.SerializeToString()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    known = {value.name for value in session.get_inputs()}
    feed = {name: array for name, array in batch.inputs.items() if name in known}
    return dict(zip(names, session.run(names, feed), strict=True))


def largest_difference(left: dict[str, NDArray[Any]], right: dict[str, NDArray[Any]]) -> float:
    """Relative to the largest value of `right`."""
    return max(
        float(np.abs(left[name] - right[name]).max() / (np.abs(right[name]).max() + 1e-9))
        for name in right
    )


def ignoring(parts: Parts, policy: Policy) -> onnx.ModelProto:
    """The model with zeros in all weights that read a channel which `policy` removes.

    The other weights of such a layer are re-fitted, unless `parts` is naive.
    """
    gone = Removal.of(policy, parts.channels, parts.order).gone
    model = onnx.ModelProto()
    model.CopyFrom(parts.graph.model)
    nodes = {node.name: node for node in model.graph.node}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, inputs in parts.channels.inputs.items():
        layer, stays = parts.layers[name], ~np.isin(inputs, gone)
        if stays.all():
            continue
        weight = numpy_helper.to_array(constants[layer.weight])
        bias = find_bias(parts.graph, layer)
        matrix = to_matrix(layer, weight)
        kept = np.flatnonzero(np.tile(stays, matrix.shape[2] // len(stays)))
        fitted, shift = matrix[:, :, kept], np.zeros(1)
        if not parts.naive:
            moment, mean = parts.statistics.moment(name), parts.statistics.mean(name)
            found = refit(matrix, moment, None if bias is None else mean, kept)
            fitted, shift = found.weights, found.shift[0]
        matrix[:] = 0
        matrix[:, :, kept] = fitted
        changed = to_weight(layer, matrix, weight.shape).astype(np.float32)
        constants[layer.weight].CopyFrom(numpy_helper.from_array(changed, layer.weight))
        if bias is not None and shift.any():
            place = bias.constant or f"{name}.shift"
            if not bias.constant:
                nodes[name].input.append(place)
                constants[place] = model.graph.initializer.add()
            before = parts.graph.constants[place] if bias.constant else 0
            sums = (before + shift).astype(np.float32)
            constants[place].CopyFrom(numpy_helper.from_array(sums, place))
    return model
