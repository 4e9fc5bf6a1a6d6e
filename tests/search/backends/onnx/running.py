"""Running artifacts the way a user does: plain ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from paretune.evaluators import Batch


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
