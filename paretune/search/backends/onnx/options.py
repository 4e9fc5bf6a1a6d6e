"""What a user may set for the ONNX backend."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from paretune.search.backends.onnx.activations import Activations
from paretune.search.backends.onnx.ranges import Method
from paretune.search.backends.onnx.uint8_input import Normalization


def _strength(value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is False or (number and 0 < value <= 1):
        return value
    raise ValueError(f"must be false or a number above 0 and up to 1, but got {value!r}")


class OnnxOptions(BaseModel):
    """The config's `backend` section.

    Attributes:
        calibration: how activation ranges are found.
        percentile: for `calibration: percentile`, in percent.
        solver: `best` rounds and prunes so that the layers' outputs change least; `naive` to the
            nearest value and by magnitude, for comparison.
        equalize: whether channels are first rescaled between layers (cross-layer equalization).
        smooth: how far outliers of activations are first moved into the weights that read them
            (SmoothQuant's α, above 0 and up to 1), or False.
        activation_bits: of the integers between int8 layers. ONNX Runtime has kernels for 8 only;
            with 16 it computes with floats between rounding.
        activation_symmetric: signed integers with zero point 0, as some devices want them.
        uint8_inputs: inputs that the artifacts take as bytes, as the data then are, and what the
            model's training made of a byte.
        integer_only: no operator of an artifact may compute with floats.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    calibration: Method = "mse"
    percentile: float = Field(default=99.99, gt=50, le=100)
    solver: Literal["best", "naive"] = "best"
    equalize: bool = False
    activation_bits: Literal[8, 16] = 8
    activation_symmetric: bool = False
    uint8_inputs: Mapping[str, Normalization] = Field(default_factory=dict)
    integer_only: bool = False
    smooth: Annotated[Literal[False] | float, BeforeValidator(_strength)] = False

    @model_validator(mode="after")
    def _has_kernels(self) -> "OnnxOptions":
        if self.integer_only and self.activation_bits != 8:
            raise ValueError("integer_only needs activation_bits: 8; there are no kernels for 16")
        return self

    @property
    def activations(self) -> Activations:
        """The integers between int8 layers."""
        return Activations(self.activation_bits, self.activation_symmetric)
