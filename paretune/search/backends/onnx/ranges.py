"""Ranges: the lowest and highest value of every tensor that the integers should represent."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from onnxruntime.quantization.calibrate import HistogramCollector

from paretune.search.backends.onnx.activations import Activations
from paretune.search.backends.onnx.graph import Array
from paretune.search.backends.onnx.histogram import HALF, Histogram
from paretune.search.backends.onnx.least_error import least_error_range

Method = Literal["minmax", "percentile", "entropy", "mse"]
Range = tuple[float, float]


class RangeCollector:
    """Looks at the tensors of one chunk of samples after the other."""

    def __init__(
        self,
        tensors: Sequence[str],
        method: Method = "minmax",
        percentile: float = 99.99,
        activations: Activations | None = None,
    ) -> None:
        """Start with no data.

        Args:
            tensors: names of those to look at.
            method: `minmax`; `percentile` cuts the tails that hold (100 - percentile)% of the
                values; `entropy` minimizes the KL divergence (Migacz, 8-bit inference with
                TensorRT, 2017); `mse` minimizes the mean squared error.
            percentile: used by that method, in percent.
            activations: used by `mse`: what rounds; uint8 by default.
        """
        self._tensors = tensors
        self._method = method
        self._percentile = percentile
        self._activations = activations or Activations()
        self._low: dict[str, float] = {}
        self._high: dict[str, float] = {}
        self._histograms: dict[str, Histogram] = {}

    def add(self, values: Mapping[str, Array]) -> None:
        """Look at one chunk.

        Args:
            values: name to array, float32, finite and not empty; tensors may be missing.
        """
        seen = {name: values[name] for name in self._tensors if name in values}
        for name, array in seen.items():
            self._low[name] = min(self._low.get(name, np.inf), float(array.min()))
            self._high[name] = max(self._high.get(name, -np.inf), float(array.max()))
            if self._method != "minmax":
                self._histograms.setdefault(name, Histogram()).add(array)

    def found(self) -> dict[str, Range]:
        """The range of every tensor that had values."""
        return {name: self._range(name) for name in self._low}

    def _range(self, name: str) -> Range:
        whole = self._low[name], self._high[name]
        histogram = self._histograms.get(name)
        if histogram is None or not histogram.counts.any():
            return whole
        match self._method:
            case "percentile":
                return percentile_range(histogram, self._percentile)
            case "entropy":
                return entropy_range(histogram)
            case "mse":
                return least_error_range(histogram, self._activations)
        return whole


def percentile_range(histogram: Histogram, percentile: float) -> Range:
    """The range that leaves (100 - percentile) / 2 percent of the values out at either end."""
    counts = histogram.counts.copy()
    counts[HALF] += histogram.zeros
    share = np.cumsum(counts) / counts.sum()
    cut = (100 - percentile) / 200
    low, high = histogram.edges[np.searchsorted(share, [cut, 1 - cut])]
    # The edge below the last value that stays; a bin further holds it.
    high += histogram.edges[1] - histogram.edges[0]
    return max(float(low), histogram.low), min(float(high), histogram.high)


def entropy_range(histogram: Histogram) -> Range:
    """The range of least Kullback-Leibler divergence, as ONNX Runtime finds it."""
    counts = histogram.counts.copy()
    counts[HALF] += histogram.zeros
    # Its time grows with the square of the number of bins.
    counts = counts.reshape(-1, 2).sum(1)
    edges = histogram.edges[::2].astype(np.float32)
    ends = np.float32(histogram.low), np.float32(histogram.high)
    found = HistogramCollector("entropy", False, counts.size, 128, 0, None)
    with contextlib.redirect_stdout(io.StringIO()):
        low, high = found.get_entropy_threshold((counts, edges, *ends), 128)[:2]
    return float(low), float(high)
