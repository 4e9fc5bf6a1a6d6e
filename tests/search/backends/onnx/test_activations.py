"""Activations of every type: their parameters, and models that use them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper
from onnxruntime.quantization.quant_utils import compute_scale_zp, get_qmin_qmax_for_qType

from paretune.errors import UserError
from paretune.search.backends.onnx import OnnxBackend, OnnxPrepared
from paretune.search.backends.onnx.activations import Activations
from paretune.spaces import Choice, Policy, Precision
from tests.models import cnn
from tests.search.backends.onnx.running import largest_difference, outputs
from tests.search.backends.onnx.zoo import data_of, images, prepare

KINDS = [Activations(8), Activations(8, True), Activations(16), Activations(16, True)]
INT8 = Choice(Precision.INT8)
values = st.floats(-1e3, 1e3, width=32)


def _all_int8(prepared: OnnxPrepared) -> Policy:
    table = prepared.capabilities.precisions
    return Policy.of(
        {
            layer.name: INT8 if (Precision.INT8, layer.op_type) in table else Choice()
            for layer in prepared.layers
        }
    )


@pytest.mark.parametrize("kind", KINDS)
@given(a=values, b=values)
def test_parameters_equal_onnxruntimes(kind: Activations, a: float, b: float) -> None:
    low, high = sorted((a, b))
    scale, zero_point = kind.parameters(low, high)
    onnx_type = onnx.helper.np_dtype_to_tensor_dtype(kind.dtype)
    first, last = get_qmin_qmax_for_qType(onnx_type, symmetric=kind.symmetric)
    assert (first, last) == (kind.lowest, kind.highest)
    want_zero, want_scale = compute_scale_zp(
        np.array(low, np.float32), np.array(high, np.float32), first, last, kind.symmetric
    )
    assert scale == want_scale
    assert zero_point == want_zero
    assert zero_point.dtype == kind.dtype
    assert scale.shape == zero_point.shape == ()


@pytest.mark.parametrize("kind", KINDS)
@given(a=values, b=values, at=st.floats(0, 1))
def test_values_of_the_range_are_half_a_step_off(
    kind: Activations, a: float, b: float, at: float
) -> None:
    low, high = sorted((a, b))
    scale, zero_point = kind.parameters(low, high)
    value = np.array([low + at * (high - low), 0, low, high], np.float32)
    integers = kind.quantized(value, scale, zero_point)
    assert integers.dtype == kind.dtype
    back = (integers.astype(np.float64) - float(zero_point)) * float(scale)
    # The zero point is rounded, too, which may cost the ends of the range half a step more.
    assert np.all(np.abs(back - value) <= 1.001 * float(scale) + 1e-3 * np.abs(value))
    assert back[1] == 0


@pytest.mark.parametrize("name", ["cnn", "mobile", "dense", "text"])
@pytest.mark.parametrize("kind", KINDS)
def test_models_of_every_type(name: str, kind: Activations, tmp_path: Path) -> None:
    prepared = prepare(
        name,
        tmp_path,
        solver="naive",
        activation_bits=kind.bits,
        activation_symmetric=kind.symmetric,
    )
    policy = _all_int8(prepared)
    artifact = prepared.apply(policy, tmp_path / "candidate.onnx")
    assert artifact.policy == policy
    graph = onnx.load(artifact.path).graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    rounded = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    assert rounded
    for node in rounded:
        assert constants[node.input[2]].dtype == kind.dtype
        assert not kind.symmetric or constants[node.input[2]] == 0
    difference = largest_difference(
        outputs(artifact.path, data_of(name)), outputs(prepared.reference.path, data_of(name))
    )
    assert difference < 0.08


def test_finer_activations_are_more_accurate(tmp_path: Path) -> None:
    path = cnn(tmp_path / "model.onnx")
    errors = []
    for bits in (8, 16):
        options = {"activation_bits": bits, "solver": "naive"}
        prepared = OnnxBackend().prepare(path, [images(64)], tmp_path / "cache", options)
        artifact = prepared.apply(_all_int8(prepared), tmp_path / "candidate.onnx")
        found = outputs(artifact.path, images(64))["logits"]
        exact = outputs(prepared.reference.path, images(64))["logits"]
        errors.append(float(np.square(found - exact).mean()))
    # What is left is the weights' own error.
    assert errors[1] < errors[0]


def test_a_rectifier_stays_where_zero_is_in_the_middle(tmp_path: Path) -> None:
    """A signed type holds negative values, which a rectifier has to cut off before rounding."""
    prepared = prepare("cnn", tmp_path, solver="naive", activation_symmetric=True)
    artifact = prepared.apply(_all_int8(prepared), tmp_path / "candidate.onnx")
    graph = onnx.load(artifact.path).graph
    kinds = {name: node.op_type for node in graph.node for name in node.input}
    rectifiers = [node for node in graph.node if node.op_type == "Relu"]
    assert len(rectifiers) == 4
    for node in rectifiers:
        assert kinds[node.output[0]] == "QuantizeLinear"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation_bits": 4}, "activation_bits: .*8 or 16.*got 4"),
        ({"activation_symmetric": "maybe"}, "activation_symmetric: must be true or false"),
        ({"calibration": "mean"}, "calibration: .*'minmax', 'percentile', 'entropy' or 'mse'"),
        ({"percentile": 20}, "percentile: .*greater than 50.*got 20"),
        ({"integer_only": True, "activation_bits": 16}, "integer_only needs activation_bits: 8"),
    ],
)
def test_mistakes_are_named(options: dict[str, object], message: str, tmp_path: Path) -> None:
    path = cnn(tmp_path / "model.onnx")
    with pytest.raises(UserError, match=message):
        OnnxBackend().prepare(path, [images()], tmp_path / "cache", options)


@pytest.mark.parametrize("method", ["percentile", "mse"])
def test_every_method_makes_a_model(method: str, tmp_path: Path) -> None:
    prepared = prepare("cnn", tmp_path, solver="naive", calibration=method)
    artifact = prepared.apply(_all_int8(prepared), tmp_path / "candidate.onnx")
    difference = largest_difference(
        outputs(artifact.path, images()), outputs(prepared.reference.path, images())
    )
    assert difference < 0.3
