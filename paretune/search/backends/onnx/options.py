"""What a user may set for the ONNX backend."""

from pydantic import BaseModel, ConfigDict, Field

from paretune.search.backends.onnx.calibration import Method


class OnnxOptions(BaseModel):
    """The config's `backend` section.

    Attributes:
        calibration: how activation ranges are found.
        percentile: for `calibration: percentile`, in percent.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    calibration: Method = "minmax"
    percentile: float = Field(default=99.99, gt=50, le=100)
