"""Scales of the integer formats, and what `MatMulNBits` makes of the blocks."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from onnx import TensorProto
from onnx.helper import make_node
from onnxruntime.quantization.quant_utils import quantize_data

from paretune.evaluators import Batch
from paretune.search.backends.onnx import OnnxBackend
from paretune.search.backends.onnx.solvers.problem import Problem
from paretune.search.backends.onnx.techniques.grids import block_grid, channel_grid
from paretune.spaces import Choice, Policy, Precision
from tests.models import floats, save
from tests.search.backends.onnx.running import outputs

weights = arrays(
    np.float32,
    array_shapes(min_dims=3, max_dims=3, max_side=9),
    elements=st.floats(-1e3, 1e3, width=32),
)


def plain(weights: NDArray[Any]) -> Problem:
    """Nothing is known of the inputs."""
    groups, _, columns = weights.shape
    moment = np.broadcast_to(np.eye(columns), (groups, columns, columns))
    return Problem(weights.astype(np.float64), moment)


def any_blocks(data: st.DataObject, columns: int) -> NDArray[np.int64]:
    """Each column's block; they need not be neighbours, but none is empty."""
    count = data.draw(st.integers(1, columns))
    return np.array(data.draw(st.permutations([i % count for i in range(columns)])))


@given(weights)
def test_channels_are_rounded_as_onnxruntime_rounds(weights: NDArray[Any]) -> None:
    problem = plain(weights)
    grid = channel_grid(problem, None, naive=True)
    codes = grid.codes(grid.nearest(problem.weights))
    for group, row in np.ndindex(weights.shape[:2]):
        zero, scale, wanted = quantize_data(weights[group, row], TensorProto.INT8, symmetric=True)
        assert zero == 0
        assert grid.scale[group, row, 0] == scale
        np.testing.assert_array_equal(codes[group, row], wanted)


@given(weights, st.floats(0, 10, width=32))
def test_scales_are_raised_to_the_least(weights: NDArray[Any], least: float) -> None:
    problem = plain(weights)
    floor = np.full(weights.shape[0] * weights.shape[1], least, np.float32)
    free = channel_grid(problem, None, naive=True).scale
    raised = channel_grid(problem, floor, naive=True).scale
    np.testing.assert_array_equal(raised, np.maximum(free, np.float32(least)))
    assert (channel_grid(problem, floor, naive=False).scale >= np.float32(least)).all()


@given(weights, st.sampled_from([2, 3, 4, 8]), st.data())
def test_blocks(weights: NDArray[Any], bits: int, data: st.DataObject) -> None:
    problem, top = plain(weights), 2 ** (bits - 1)
    blocks = any_blocks(data, weights.shape[2])
    grid = block_grid(problem, bits, blocks, naive=True)
    found = grid.nearest(problem.weights)
    codes, step = grid.codes(found), np.abs(grid.scales())
    assert codes.min() >= -top
    assert codes.max() <= top - 1
    np.testing.assert_array_equal(found, codes * grid.scales())
    # One step where the opposite end saturates, half a step elsewhere.
    assert np.all(np.abs(found - problem.weights) <= step * 1.001)
    assert np.all(found[problem.weights == 0] == 0)
    for block in range(blocks.max() + 1):
        own = problem.weights[..., blocks == block]
        farthest = np.abs(own).max(axis=2)
        at = np.abs(own).argmax(axis=2)[..., None]
        reached = np.take_along_axis(found[..., blocks == block], at, 2)[..., 0]
        np.testing.assert_allclose(np.abs(reached), farthest, rtol=1e-6, atol=1e-37)


@pytest.mark.parametrize("naive", [True, False])
@pytest.mark.parametrize("tiny", [0.0, 1e-40, 1e-45])
def test_rows_of_zeros_and_of_next_to_nothing_have_a_scale(tiny: float, naive: bool) -> None:
    weights = np.ones((1, 3, 8), np.float32)
    weights[0, 1] = tiny
    problem = plain(weights)
    grids = [
        channel_grid(problem, None, naive=naive),
        block_grid(problem, 4, np.zeros(8, np.int64), naive=naive),
    ]
    for grid in grids:
        found = grid.nearest(problem.weights)
        np.testing.assert_array_equal(found[0, 1], 0)
        np.testing.assert_allclose(found[0, ::2], 1)


@pytest.mark.parametrize("shape", [(32, 8), (50, 7), (100, 16)])
@pytest.mark.parametrize("precision", [Precision.W4, Precision.W8])
def test_matmul_nbits_computes_what_the_blocks_say(
    precision: Precision, shape: tuple[int, int], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    weight = floats(rng, *shape)
    path = save(
        tmp_path / "model.onnx",
        [make_node("MatMul", ["x", "w"], ["y"], "layer")],
        {"x": (TensorProto.FLOAT, ["batch", shape[0]])},
        {"y": (TensorProto.FLOAT, ["batch", shape[1]])},
        {"w": weight},
    )
    data = Batch({"x": floats(rng, 8, shape[0])})
    prepared = OnnxBackend().prepare(path, [data], tmp_path / "cache", {"solver": "naive"})
    choice = Choice(precision)
    artifact = prepared.apply(Policy.of({"layer": choice}), tmp_path / "candidate.onnx")
    kinds = [node.op_type for node in onnx.load(artifact.path).graph.node]
    assert kinds == ["MatMulNBits"]
    bits = 4 if precision == Precision.W4 else 8
    problem = plain(weight.T[None])
    grid = block_grid(problem, bits, np.arange(shape[0]) // 32, naive=True)
    # Each row of the identity reads one row of the weight.
    identity = Batch({"x": np.eye(shape[0], dtype=np.float32)})
    decoded = outputs(artifact.path, identity)["y"]
    np.testing.assert_allclose(decoded, grid.nearest(problem.weights)[0].T, rtol=1e-5, atol=1e-6)
