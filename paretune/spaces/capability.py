"""What a runtime does with each choice: run it natively, or merely store it smaller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import lcm
from typing import Any, TypeVar

from paretune.spaces.precision import Precision
from paretune.spaces.sparsity import (
    NM,
    Block,
    Channel,
    Drop,
    LowRank,
    Pattern,
    Sparsity,
    Unstructured,
)

_K = TypeVar("_K")
_KINDS: dict[str, type[Sparsity]] = {
    "unstructured": Unstructured,
    "n:m": NM,
    "block": Block,
    "rank": LowRank,
    "channel": Channel,
    "drop": Drop,
    "pattern": Pattern,
}


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

    def within(self, other: "Capabilities") -> "Capabilities":
        """Without the precisions of operators that `other` lacks."""
        left = {key: support for key, support in self.precisions.items() if key in other.precisions}
        return replace(self, precisions=left)

    def to_dict(self) -> dict[str, Any]:
        """JSON values that `from_dict` reads."""
        return {
            "runtime": self.runtime,
            "precisions": [
                {"precision": str(precision), "op_type": op_type, "support": support.value}
                for (precision, op_type), support in self.precisions.items()
            ],
            "sparsities": {
                name: self.sparsities[kind].value
                for name, kind in _KINDS.items()
                if kind in self.sparsities
            },
            "channel_grain": self.channel_grain,
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> "Capabilities":
        """Read what `to_dict` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            return Capabilities(
                str(data["runtime"]),
                {
                    (Precision(row["precision"]), str(row["op_type"])): Support(row["support"])
                    for row in data["precisions"]
                },
                {_KINDS[name]: Support(text) for name, text in data["sparsities"].items()},
                int(data["channel_grain"]),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"no capabilities: {error!r}") from error

    @staticmethod
    def any_of(tables: Sequence["Capabilities"]) -> "Capabilities":
        """What at least one of several runtimes does natively; for a search on all of them.

        Args:
            tables: at least one. What one of them cannot build is left out.
        """
        first, *others = tables
        if not others:
            return first
        return Capabilities(
            ", ".join(dict.fromkeys(table.runtime for table in tables)),
            _best([table.precisions for table in tables]),
            _best([table.sparsities for table in tables]),
            lcm(*(table.channel_grain for table in tables)),
        )


def _best(tables: Sequence[Mapping[_K, Support]]) -> dict[_K, Support]:
    common = [key for key in tables[0] if all(key in table for table in tables)]
    native = {key for table in tables for key in common if table[key] is Support.NATIVE}
    return {key: Support.NATIVE if key in native else Support.STORAGE for key in common}


_N, _S = Support.NATIVE, Support.STORAGE
_TABLE: dict[Precision, dict[str, Support]] = {
    Precision.FP32: {"Conv": _N, "ConvTranspose": _N, "Gemm": _N, "MatMul": _N, "Gather": _N},
    Precision.FP16: {"Conv": _S, "ConvTranspose": _S, "Gemm": _S, "MatMul": _S, "Gather": _S},
    Precision.INT8: {"Conv": _N, "Gemm": _N, "MatMul": _N},
    Precision.INT8_DYNAMIC: {"Gemm": _N, "MatMul": _N},
    Precision.W8: {"Conv": _S, "ConvTranspose": _S, "Gemm": _N, "MatMul": _N, "Gather": _S},
    Precision.W4: {"Conv": _S, "ConvTranspose": _S, "Gemm": _N, "MatMul": _N, "Gather": _S},
    **{
        precision: dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul", "Gather"), _S)
        for precision in Precision.OTHERS
    },
}

ONNXRUNTIME_CPU = Capabilities(
    runtime="onnxruntime-cpu",
    precisions={(p, op): support for p, ops in _TABLE.items() for op, support in ops.items()},
    # ONNX Runtime has no sparse kernels on the CPU: zeros only compress better.
    sparsities={
        **dict.fromkeys((Unstructured, NM, Block, Pattern), Support.STORAGE),
        **dict.fromkeys((LowRank, Channel, Drop), Support.NATIVE),
    },
    # NCHWc convolutions work on blocks of 8 (AVX2, NEON) or 16 (AVX-512) channels; measured on a
    # ResNet-8, widths 16-32-64 = 1.0, 15-30-60 = 1.47, 12-24-48 = 0.86, 8-16-32 = 0.57.
    channel_grain=8,
)
