"""Names that exporters give, and that clash with what the backend would like to call things."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.helper import make_node

from paretune.evaluators import Batch
from paretune.search.backends.onnx import OnnxBackend, OnnxPrepared
from paretune.spaces import NM, Channel, Policy, Precision, build_space
from tests.models import floats, save
from tests.search.backends.onnx.running import largest_difference, outputs

RNG = np.random.default_rng(0)
VECTORS = Batch({"x": RNG.standard_normal((16, 8)).astype(np.float32)})
LIMITS = {Precision.FP32: 1e-6, Precision.W4: 0.5}


def _named_like_outputs(path: Path) -> Path:
    """Each node has the name of the tensor that it writes, as MXNet and Caffe2 export."""
    names = ["fc1", "fc2", "fc3"]
    nodes = [
        make_node("Gemm", ["x", "fc1_w", "fc1_b"], ["fc1"], "fc1"),
        make_node("Relu", ["fc1"], ["relu"], "relu"),
        make_node("Gemm", ["relu", "fc2_w", "fc2_b"], ["fc2"], "fc2"),
        make_node("Gemm", ["fc2", "fc3_w", "fc3_b"], ["fc3"], "fc3"),
    ]
    return _vector_model(path, nodes, "fc3", {n: (16 if n != "fc1" else 8, 16) for n in names})


def _taken(path: Path) -> Path:
    """Tensors, nodes and weights are called what the backend calls what it adds to others."""
    nodes = [
        make_node("Gemm", ["x", "t/scale_w", "t/scale_b"], ["t"], "t/scale"),
        make_node("Relu", ["t"], ["t/uint8"], "t/rounded"),
        make_node("Gemm", ["t/uint8", "fc/weight_w", "fc/weight_b"], ["t/scale"], "fc/weight"),
        make_node("Sigmoid", ["t/scale"], ["t/raw"], "fc/bias/scale"),
        make_node("Mul", ["t/scale", "t/raw"], ["fc/product"], "fc/weight/float"),
        make_node("Gemm", ["fc/product", "fc_w", "fc_b"], ["fc/weight"], "fc"),
    ]
    shapes = {"t/scale": (8, 16), "fc/weight": (16, 16), "fc": (16, 4)}
    return _vector_model(path, nodes, "fc/weight", shapes)


def _vector_model(
    path: Path, nodes: list[onnx.NodeProto], output: str, shapes: dict[str, tuple[int, int]]
) -> Path:
    weights: dict[str, Any] = {}
    for name, (rows, columns) in shapes.items():
        weights[f"{name}_w"] = floats(RNG, rows, columns)
        weights[f"{name}_b"] = floats(RNG, columns)
    return save(
        path,
        nodes,
        {"x": (TensorProto.FLOAT, ["batch", 8])},
        {output: (TensorProto.FLOAT, ["batch", "classes"])},
        weights,
    )


@pytest.mark.parametrize("build", [_named_like_outputs, _taken])
@pytest.mark.parametrize("precision", Precision.USUAL)
@pytest.mark.parametrize("amount", [0.0, 0.5])
def test_every_form_loads_and_reads_back(
    build: Any, precision: Precision, amount: float, tmp_path: Path
) -> None:
    prepared = _prepare(build(tmp_path / "model.onnx"), tmp_path)
    policy = _uniform(prepared, precision, amount)
    artifact = prepared.apply(policy, tmp_path / "candidate.onnx")
    assert artifact.policy == policy
    found = outputs(artifact.path, VECTORS)
    if amount == 0:
        exact = outputs(prepared.reference.path, VECTORS)
        assert largest_difference(found, exact) <= LIMITS.get(precision, 0.06)
    names = [node.name for node in onnx.load(artifact.path).graph.node]
    assert len(set(names)) == len(names)


def test_dynamic_and_static_int8_meet_at_a_tensor_named_like_the_layer(tmp_path: Path) -> None:
    prepared = _prepare(_named_like_outputs(tmp_path / "model.onnx"), tmp_path)
    mixed = _uniform(prepared, Precision.INT8, 0)
    dynamic = _uniform(prepared, Precision.INT8_DYNAMIC, 0)
    policy = Policy.of({**dict(mixed.items), "fc2": dynamic["fc2"]})
    artifact = prepared.apply(policy, tmp_path / "candidate.onnx")
    assert artifact.policy == policy
    exact = outputs(prepared.reference.path, VECTORS)
    assert largest_difference(outputs(artifact.path, VECTORS), exact) < 0.06


def test_a_constant_that_is_called_like_the_gemm_weight_stays(tmp_path: Path) -> None:
    """The Gemm takes a scaled copy of its weight; the MatMul reads it as it was."""
    factors: dict[str, Any] = {"alpha": 0.5, "beta": 2.0}
    weights: dict[str, Any] = {"fc:weight": floats(RNG, 8, 8), "fc:bias": floats(RNG, 8)}
    nodes = [
        make_node("Gemm", ["x", "fc:weight", "fc:bias"], ["h"], "fc", transB=1, **factors),
        make_node("MatMul", ["h", "fc:weight"], ["m"], "mm"),
        make_node("Add", ["m", "fc:bias"], ["y"], "add"),
    ]
    path = save(
        tmp_path / "model.onnx",
        nodes,
        {"x": (TensorProto.FLOAT, ["batch", 8])},
        {"y": (TensorProto.FLOAT, ["batch", 8])},
        weights,
    )
    found = outputs(_prepare(path, tmp_path).reference.path, VECTORS)
    assert largest_difference(found, outputs(path, VECTORS)) < 1e-6


def _prepare(path: Path, folder: Path) -> OnnxPrepared:
    return OnnxBackend().prepare(path, [VECTORS], folder / "cache", {})


def _uniform(prepared: OnnxPrepared, precision: Precision, amount: float) -> Policy:
    space = build_space(
        prepared.layers,
        prepared.groups,
        prepared.capabilities,
        list(Precision.USUAL),
        [NM(2, 4), Channel(0.5)],
        grain=1,
    )
    return space.uniform(precision, amount)
