"""Histograms and ranges, against all of the values and against every range there is."""

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import HistogramCollector

from paretune.search.backends.onnx.activations import Activations
from paretune.search.backends.onnx.histogram import HALF, Histogram
from paretune.search.backends.onnx.least_error import least_error_range, squared_error
from paretune.search.backends.onnx.ranges import Method, RangeCollector, percentile_range

KINDS = [Activations(8), Activations(8, True), Activations(16), Activations(16, True)]


def _draw(name: str, seed: int = 0, count: int = 4000) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal(count)
    values = {
        "normal": normal,
        "rectified": np.maximum(normal, 0),
        "outlier": np.append(normal, 60.0),
        "rectified outlier": np.append(np.maximum(normal, 0), 60.0),
        "laplace": rng.laplace(3, 1, count),
        "negative": -1 - np.abs(normal),
        "positive": 5 + normal,
    }[name]
    return values.astype(np.float32)


SHAPES = ["normal", "rectified", "outlier", "rectified outlier", "laplace", "negative", "positive"]


def _histogram(*chunks: NDArray[np.float32]) -> Histogram:
    histogram = Histogram()
    for chunk in chunks:
        histogram.add(chunk)
    return histogram


def _rounding_error(values: NDArray[Any], kind: Activations, low: float, high: float) -> float:
    """Sum of squares of what quantizing and back does to the values."""
    scale, zero_point = kind.parameters(low, high)
    zero, wide = float(zero_point), values.astype(np.float64)
    integers = np.clip(np.round(wide / float(scale)) + zero, kind.lowest, kind.highest)
    return float(np.square((integers - zero) * float(scale) - wide).sum())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=30),
        min_size=1,
        max_size=4,
    )
)
def test_every_value_is_in_its_bin(chunks: list[list[float]]) -> None:
    histogram = _histogram(*(np.array(chunk, np.float32) for chunk in chunks))
    values = np.concatenate([np.array(chunk, np.float32) for chunk in chunks])
    assert histogram.low == values.min()
    assert histogram.high == values.max()
    assert histogram.counts.shape == (2 * HALF,)
    assert histogram.counts.min() >= 0
    assert histogram.counts.sum() + histogram.zeros == values.size
    # A value may lie a rounding away from its bin.
    below, above = histogram.edges[:-1], histogram.edges[1:]
    slack = histogram.limit * 1e-6 + 1e-30
    for count, first, last in zip(histogram.counts, below, above, strict=True):
        if count:
            assert np.any((values >= first - slack) & (values <= last + slack))


def test_chunks_do_not_change_the_counts() -> None:
    values = _draw("outlier")
    split = _histogram(*np.array_split(values[::-1], 7))
    # The limit is the same because the largest value comes first.
    whole = _histogram(values[::-1])
    np.testing.assert_array_equal(split.counts, whole.counts)
    grown = _histogram(*np.array_split(values, 7))
    assert grown.counts.sum() == whole.counts.sum()
    assert whole.limit <= grown.limit < 2 * whole.limit


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_squared_error_is_an_integral(name: str, kind: Activations) -> None:
    """Against many values spread evenly over every bin."""
    histogram = _histogram(_draw(name, count=60))
    low, high = histogram.low * 0.6, histogram.high * 0.5
    expected = 0.0
    for count, (first, last) in zip(histogram.counts, pairwise(histogram.edges), strict=True):
        if count:
            spread = first + (np.arange(2000) + 0.5) * (last - first) / 2000
            expected += count * _rounding_error(spread, kind, low, high) / 2000
    found = squared_error(histogram, kind, low, high)
    assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_least_error_against_every_range(name: str, kind: Activations) -> None:
    histogram = _histogram(_draw(name))
    found = least_error_range(histogram, kind)
    assert histogram.low <= found[0] <= found[1] <= histogram.high
    error = squared_error(histogram, kind, *found)
    shares = np.linspace(0, 1, 16)
    best = min(
        squared_error(histogram, kind, histogram.low * a, histogram.high * b)
        for a, b in product(shares, shares)
    )
    assert error <= best * 1.02
    assert error <= squared_error(histogram, kind, histogram.low, histogram.high)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40),
)
def test_least_error_is_never_worse_than_minmax(kind: Activations, values: list[float]) -> None:
    histogram = _histogram(np.array(values, np.float32))
    low, high = least_error_range(histogram, kind)
    assert np.isfinite([low, high]).all()
    whole = squared_error(histogram, kind, histogram.low, histogram.high)
    assert squared_error(histogram, kind, low, high) <= whole


def test_least_error_helps_the_values_themselves() -> None:
    values = _draw("outlier", count=100_000)
    collector = RangeCollector(["x"], "mse")
    for chunk in np.array_split(values, 5):
        collector.add({"x": chunk})
    found = collector.found()["x"]
    whole = _rounding_error(values, Activations(), float(values.min()), float(values.max()))
    assert _rounding_error(values, Activations(), *found) < 0.9 * whole


def test_a_rectified_tensor_keeps_its_zero() -> None:
    histogram = _histogram(_draw("rectified outlier"))
    assert least_error_range(histogram, Activations())[0] == 0


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("percentile", [100.0, 99.9, 80.0])
def test_percentile_cuts_so_many_values(name: str, percentile: float) -> None:
    values = _draw(name)
    histogram = _histogram(values)
    low, high = percentile_range(histogram, percentile)
    bin_width = histogram.edges[1] - histogram.edges[0]
    # So many at either end, but for those in the bin that the end is in.
    cut = (100 - percentile) / 200 * values.size + 1e-9
    for outside in (values + bin_width < low, values - bin_width > high):
        assert np.count_nonzero(outside) <= cut
    for outside in (values - bin_width <= low, values + bin_width >= high):
        assert np.count_nonzero(outside) >= cut - 1
    assert histogram.low <= low < high <= histogram.high


def test_entropy_is_onnxruntimes_own() -> None:
    """Where all of the data is one chunk and both have bins of the same width."""
    values = np.append(_draw("laplace"), np.float32(-16)).astype(np.float32)
    collector = RangeCollector(["x"], "entropy")
    collector.add({"x": values})
    theirs = HistogramCollector("entropy", False, HALF, 128, 0, None)
    theirs.collect({"x": values})
    low, high = theirs.compute_collection_result()["x"][:2]
    assert list(collector.found()["x"]) == pytest.approx([float(low), float(high)])


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy", "mse"])
def test_degenerate_tensors(method: Method) -> None:
    collector = RangeCollector(["zeros", "constant", "one", "never"], method)
    for _ in range(2):
        collector.add({"zeros": np.zeros(5, np.float32), "constant": np.full(4, 3, np.float32)})
    collector.add({"one": np.array([-2], np.float32)})
    found = collector.found()
    assert found.keys() == {"zeros", "constant", "one"}
    assert found["zeros"] == (0, 0)
    for name, value in (("constant", 3), ("one", -2)):
        scale, zero_point = Activations().parameters(*found[name])
        integer = np.clip(np.round(value / scale) + float(zero_point), 0, 255)
        assert (integer - float(zero_point)) * scale == pytest.approx(value, rel=0.01)
