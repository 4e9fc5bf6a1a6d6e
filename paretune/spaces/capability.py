"""What a runtime does with each choice: run it natively, or merely store it smaller."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from paretune.spaces.precision import Precision
from paretune.spaces.sparsity import NM, Channel, Sparsity, Unstructured


class Support(StrEnum):
    """How a runtime treats a choice."""

    NATIVE = "native"
    """It computes in this form, so the choice can change the latency."""

    STORAGE = "storage"
    """The file gets smaller; the runtime decodes it at load, so the latency stays."""


@dataclass(frozen=True)
class Capabilities:
    """The table of one runtime.

    Attributes:
        runtime: its name.
        precisions: (precision, op type) to support; a pair that is absent cannot be built.
        sparsities: kind of sparsity to support.
        channel_grain: channel counts that are a multiple of this run well.
    """

    runtime: str
    precisions: Mapping[tuple[Precision, str], Support]
    sparsities: Mapping[type[Sparsity], Support]
    channel_grain: int

    def of_precision(self, precision: Precision, op_type: str) -> Support | None:
        return self.precisions.get((precision, op_type))


_N, _S = Support.NATIVE, Support.STORAGE
_TABLE: dict[Precision, dict[str, Support]] = {
    Precision.FP32: {"Conv": _N, "ConvTranspose": _N, "Gemm": _N, "MatMul": _N, "Gather": _N},
    Precision.FP16: {"Conv": _S, "ConvTranspose": _S, "Gemm": _S, "MatMul": _S, "Gather": _S},
    Precision.INT8: {"Conv": _N, "Gemm": _N, "MatMul": _N},
    Precision.INT8_DYNAMIC: {"Gemm": _N, "MatMul": _N},
    Precision.W8: {"Conv": _S, "ConvTranspose": _S, "Gemm": _N, "MatMul": _N, "Gather": _S},
    Precision.W4: {"Conv": _S, "ConvTranspose": _S, "Gemm": _N, "MatMul": _N, "Gather": _S},
}

ONNXRUNTIME_CPU = Capabilities(
    runtime="onnxruntime-cpu",
    precisions={(p, op): support for p, ops in _TABLE.items() for op, support in ops.items()},
    # ONNX Runtime has no sparse kernels on the CPU: zeros only compress better.
    sparsities={Unstructured: Support.STORAGE, NM: Support.STORAGE, Channel: Support.NATIVE},
    # NCHWc convolutions work on blocks of 8 (AVX2, NEON) or 16 (AVX-512) channels; measured on a
    # ResNet-8, widths 16-32-64 = 1.0, 15-30-60 = 1.47, 12-24-48 = 0.86, 8-16-32 = 0.57.
    channel_grain=8,
)
