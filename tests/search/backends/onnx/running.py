"""Running artifacts the way a user does: plain ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import numpy_helper

from paretune.evaluators import Batch
from paretune.search.backends.onnx.assembly import Parts
from paretune.search.backends.onnx.removal import Removal
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
    """The model with zeros in all weights that read a channel which `policy` removes."""
    gone = Removal.of(policy, parts.channels, parts.order).gone
    model = onnx.ModelProto()
    model.CopyFrom(parts.graph.model)
    by_weight = {layer.weight: layer for layer in parts.layers.values()}
    for tensor in model.graph.initializer:
        layer = by_weight.get(tensor.name)
        if layer is None or layer.name not in parts.channels.inputs:
            continue
        weight = numpy_helper.to_array(tensor).copy()
        ignored = np.isin(parts.channels.inputs[layer.name], gone)
        np.moveaxis(weight, layer.in_axis, 0)[ignored] = 0
        tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
    return model
