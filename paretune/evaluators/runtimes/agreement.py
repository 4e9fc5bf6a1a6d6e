"""Whether a runtime computes what the model says: its outputs against ONNX Runtime's.

The tolerance is chosen by errors of OpenVINO 2026.4 against ONNX Runtime 1.31 on ResNet-8, MiniLM
and a text recognizer of 57 convolutions, in all precisions: 1e-6 in fp32; up to 0.08 in int8 and
with 4-bit weights; 0.18 in the recognizer with every layer in int8, where ONNX Runtime with and
without graph optimizations differs by 0.17 from itself. With bfloat16, up to 0.13. A kernel that is
wrong (OpenVINO's ReduceMax before a QuantizeLinear): 0.12 to 0.22.
"""

from collections.abc import Mapping

import numpy as np

from paretune.errors import Infeasible
from paretune.evaluators.data import Array

TOLERANCE = 0.1
"""Error that different int8 kernels may make, over what the model's own rounding noise explains."""


def check_agreement(
    outputs: Mapping[str, Array], expected: Mapping[str, Array], tolerance: float = TOLERANCE
) -> float:
    """Refuse outputs that are more than roundings away from those expected.

    The error of floats is the L2 norm of the difference, relative to that of the expected output;
    of others the share of elements that differ. It may be `tolerance` plus the error between the
    expected executions. Where NaN or infinite values are expected, nothing is compared.

    Args:
        outputs: name to array.
        expected: name to array of shape (executions, *shape of the output): what correct
            executions gave, see `expected_outputs`.
        tolerance: of the runtime.

    Returns:
        The largest error.

    Raises:
        Infeasible: an output is missing, has another type or shape, is not finite, or differs.
    """
    errors = [_check(name, outputs, array, tolerance) for name, array in expected.items()]
    return max(errors, default=0.0)


def _check(name: str, outputs: Mapping[str, Array], executions: Array, tolerance: float) -> float:
    if name not in outputs:
        given = ", ".join(outputs) or "nothing"
        raise Infeasible(f"the runtime gives {given}, but no output '{name}'")
    output, expected = outputs[name], executions[0]
    if (output.dtype, output.shape) != (expected.dtype, expected.shape):
        raise Infeasible(
            f"output '{name}' is {output.dtype} of shape {output.shape}, but ONNX Runtime's is"
            f" {expected.dtype} of shape {expected.shape}"
        )
    error = _error(output, expected)
    if not np.isfinite(error):
        raise Infeasible(f"output '{name}' is not finite where ONNX Runtime's is")
    most = tolerance + _error(executions[-1], expected)
    if error > most:
        raise Infeasible(
            f"output '{name}' differs from ONNX Runtime's by {error:.1%}; roundings explain at most"
            f" {most:.1%}"
        )
    return error


def _error(output: Array, expected: Array) -> float:
    if expected.dtype.kind != "f":
        return float((output != expected).mean()) if expected.size else 0.0
    compared = np.isfinite(expected)
    wanted = expected[compared].astype(np.float64)
    distance = float(np.linalg.norm(output[compared] - wanted))
    return distance / (float(np.linalg.norm(wanted)) or 1.0) if distance else 0.0
