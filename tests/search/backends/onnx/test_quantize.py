from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from paretune.search.backends.onnx.quantize import (
    blockwise,
    packed_blocks,
    per_channel_int8,
    stored_blocks,
)

values = st.floats(-1e3, 1e3, width=32)


@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=4, max_side=6), elements=values))
def test_per_channel_error_is_half_a_step(weight: NDArray[Any]) -> None:
    found = per_channel_int8(weight, 0)
    scale = found.scale.reshape(-1, *[1] * (weight.ndim - 1))
    assert np.all(np.abs(found.values * scale - weight) <= scale * 0.5001 + 1e-30)
    assert np.abs(found.values).max() <= 127


@given(
    arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=values),
    st.sampled_from([4, 8]),
)
def test_blocks(rows: NDArray[Any], bits: int) -> None:
    found, scale = blockwise(rows, bits)
    top = 2 ** (bits - 1)
    assert found.min() >= -top
    assert found.max() <= top - 1
    # One step where the opposite end saturates, half a step elsewhere.
    assert np.all(np.abs(found * scale - rows) <= np.abs(scale) * 1.001 + 1e-30)
    assert np.all(found[rows == 0] == 0)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("shape", [(32, 8), (50, 7), (100, 16)])
def test_matmul_nbits_computes_what_the_blocks_say(bits: int, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal(shape).astype(np.float32)
    packed, scales = packed_blocks(weight, bits, 32)
    node = helper.make_node(
        "MatMulNBits", ["x", "b", "s"], ["y"], domain="com.microsoft", K=shape[0], N=shape[1],
        bits=bits, block_size=32,
    )  # fmt: skip
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", shape[1]])],
        [numpy_helper.from_array(packed, "b"), numpy_helper.from_array(scales, "s")],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (decoded,) = session.run(None, {"x": np.eye(shape[0], dtype=np.float32)})
    padded = np.zeros((shape[1], -(-shape[0] // 32) * 32), np.float32)
    padded[:, : shape[0]] = weight.T
    integers, scale = blockwise(padded.reshape(-1, 32), bits)
    expected = (integers * scale).reshape(shape[1], -1)[:, : shape[0]].T
    np.testing.assert_allclose(decoded, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 3, 3, 3), (4, 16, 3, 3), (5, 64)])
def test_stored_blocks_decode_by_cast_and_scale(shape: tuple[int, ...]) -> None:
    weight = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found, scale = stored_blocks(weight, 8)
    decoded = (found.astype(np.float32) * scale).reshape(shape)
    assert np.abs(decoded - weight).max() < np.abs(weight).max() / 100
