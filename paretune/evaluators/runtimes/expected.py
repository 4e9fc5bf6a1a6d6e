"""What a runtime's outputs are checked against."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from paretune.evaluators.data import Array
from paretune.evaluators.runtimes.onnxruntime import OnnxRuntime


def expected_outputs(model: Path, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """What ONNX Runtime makes of some inputs; outputs that hold no numbers are left out.

    Returns:
        Output name to array of shape (executions, *shape of the output). Executions are one with
        all graph optimizations, and one with none: their distance shows how much roundings matter
        in this model. The second is left out where its output has another shape.

    Raises:
        InferenceError: ONNX Runtime cannot load or run the model.
    """
    optimized, plain = (
        OnnxRuntime(optimization=level).load(model).run(feeds) for level in ("all", "none")
    )
    return {
        name: np.stack([array, plain[name]] if array.shape == plain[name].shape else [array])
        for name, array in optimized.items()
        if array.dtype.kind in "biuf"
    }
