"""Any policy of a space: a valid file that plain ONNX Runtime runs and that says what it is."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paretune.errors import Infeasible
from paretune.search.backends.onnx import OnnxPrepared
from paretune.search.backends.onnx.readback import read_policy
from paretune.spaces import (
    NM,
    Channel,
    Choice,
    Drop,
    Policy,
    Precision,
    Space,
    Sparsity,
    Unstructured,
    build_space,
)
from tests.search.backends.onnx.conftest import Zoo
from tests.search.backends.onnx.running import largest_difference, outputs
from tests.search.backends.onnx.zoo import ZOO, data_of, prepare

EVERYTHING: list[Sparsity] = [Unstructured(0.5), NM(2, 4), Channel(0.25), Channel(0.5), Drop()]


def space_of(prepared: OnnxPrepared) -> Space:
    return build_space(
        prepared.layers,
        prepared.groups,
        prepared.capabilities,
        list(Precision.USUAL),
        EVERYTHING,
        grain=4,
        blocks=prepared.blocks,
    )


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_every_policy_runs_and_reads_back(data: st.DataObject, zoo: Zoo, tmp_path: Path) -> None:
    name = data.draw(st.sampled_from(list(ZOO)))
    prepared = zoo(name)
    space = space_of(prepared)
    policy = space.decode({k.name: data.draw(st.sampled_from(k.options)) for k in space.knobs})
    artifact = prepared.apply(policy, tmp_path / "candidate.onnx")
    assert artifact.policy == policy
    batch = data_of(name)
    found, exact = outputs(artifact.path, batch), outputs(prepared.reference.path, batch)
    for output, array in found.items():
        assert array.shape == exact[output].shape
        assert np.isfinite(array).all()
    again = prepared.apply(policy, tmp_path / "again.onnx")
    assert again.sha256 == artifact.sha256
    assert again.path.read_bytes() == artifact.path.read_bytes()


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("precision", Precision.USUAL)
def test_uniform_precision_is_close_to_fp32(
    name: str, precision: Precision, zoo: Zoo, tmp_path: Path
) -> None:
    prepared = zoo(name)
    policy = space_of(prepared).uniform(precision)
    artifact = prepared.apply(policy, tmp_path / "candidate.onnx")
    batch = data_of(name)
    difference = largest_difference(
        outputs(artifact.path, batch), outputs(prepared.reference.path, batch)
    )
    limits = {Precision.FP32: 1e-6, Precision.FP16: 5e-3, Precision.W4: 0.4}
    assert difference <= limits.get(precision, 0.06)
    assert (difference > 0) == (policy != prepared.reference.policy)


@pytest.mark.parametrize("name", ZOO)
def test_reference_computes_what_the_original_does(name: str, zoo: Zoo, tmp_path: Path) -> None:
    original = ZOO[name](tmp_path / "original.onnx")
    batch = data_of(name)
    found = outputs(zoo(name).reference.path, batch)
    assert largest_difference(found, outputs(original, batch)) < 1e-5


def test_int8_between_layers_follows(zoo: Zoo, tmp_path: Path) -> None:
    """Add, pool and flatten run in int8 if and only if both sides do."""
    prepared = zoo("cnn")
    everywhere = prepared.apply(
        Policy.of({layer.name: Choice(Precision.INT8) for layer in prepared.layers}),
        tmp_path / "all.onnx",
    )
    assert _float_tensors_read_by(everywhere.path, {"Add", "GlobalAveragePool", "Flatten"}) == 0
    assert "Relu" not in {node.op_type for node in onnx.load(everywhere.path).graph.node}
    first = prepared.apply(
        Policy.of(
            {
                layer.name: Choice(Precision.INT8 if layer.name != "block.b" else Precision.FP32)
                for layer in prepared.layers
            }
        ),
        tmp_path / "most.onnx",
    )
    assert _float_tensors_read_by(first.path, {"Add"}) == 1
    assert _float_tensors_read_by(first.path, {"GlobalAveragePool", "Flatten"}) == 0


def test_an_add_follows_when_an_int8_layer_reads_its_float_operand_too(
    zoo: Zoo, tmp_path: Path
) -> None:
    prepared = zoo("cnn")
    float_stem = Policy.of(
        {
            layer.name: Choice(Precision.FP32 if layer.name == "stem" else Precision.INT8)
            for layer in prepared.layers
        }
    )
    artifact = prepared.apply(float_stem, tmp_path / "candidate.onnx")
    assert _float_tensors_read_by(artifact.path, {"Add"}) == 0


def _float_tensors_read_by(path: Path, kinds: set[str]) -> int:
    graph = onnx.load(path).graph
    dequantized = {n.output[0] for n in graph.node if n.op_type == "DequantizeLinear"}
    return sum(
        name not in dequantized for n in graph.node if n.op_type in kinds for name in n.input
    )


def test_storage_forms_shrink_the_file_and_fold_at_load(zoo: Zoo, tmp_path: Path) -> None:
    prepared = zoo("dense")
    space = space_of(prepared)
    sizes = [
        prepared.apply(space.uniform(p), tmp_path / f"{p}.onnx").path.stat().st_size
        for p in (Precision.FP32, Precision.FP16, Precision.W4)
    ]
    assert sizes == sorted(sizes, reverse=True)
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    ort.InferenceSession(tmp_path / "w4.onnx", options, providers=["CPUExecutionProvider"])
    kinds = {node.op_type for node in onnx.load(tmp_path / "loaded.onnx").graph.node}
    assert not kinds & {"Cast", "Mul", "DequantizeLinear", "Reshape"}


def test_a_tampered_artifact_reads_back_as_what_it_is(zoo: Zoo, tmp_path: Path) -> None:
    prepared = zoo("cnn")
    layers = list(prepared._parts.layers.values())
    asked = Policy.of({layer.name: Choice(Precision.INT8) for layer in prepared.layers})
    dense = prepared.apply(
        Policy.of({layer.name: Choice() for layer in prepared.layers}), tmp_path / "dense.onnx"
    )
    found = read_policy(onnx.load(dense.path), layers, asked)
    assert {choice.precision for _, choice in found} == {Precision.FP32}
    sparse = Policy.of(
        {layer.name: Choice(sparsity=Unstructured(0.5)) for layer in prepared.layers}
    )
    assert read_policy(onnx.load(dense.path), layers, sparse) == dense.policy
    model = onnx.load(dense.path)
    del model.graph.node[0]
    with pytest.raises(Infeasible, match="stem: the artifact has no such layer"):
        read_policy(model, layers, asked)


def test_an_artifact_that_is_something_else_is_infeasible(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = zoo("cnn")
    asked = Policy.of({layer.name: Choice(Precision.INT8) for layer in prepared.layers})
    other = onnx.load(prepared.reference.path)
    monkeypatch.setattr(
        "paretune.search.backends.onnx.prepared.assemble", lambda parts, policy: other
    )
    with pytest.raises(Infeasible, match="stem: asked for int8, but the artifact holds fp32"):
        prepared.apply(asked, tmp_path / "candidate.onnx")
    assert not (tmp_path / "candidate.onnx").exists()


def test_what_cannot_be_honoured_is_infeasible(zoo: Zoo, tmp_path: Path) -> None:
    prepared = zoo("cnn")
    choices = {layer.name: Choice() for layer in prepared.layers}
    choices["stem"] = Choice(sparsity=NM(2, 4))
    with pytest.raises(Infeasible, match="stem: 2:4 needs 4 inputs, it has 3"):
        prepared.apply(Policy.of(choices), tmp_path / "candidate.onnx")
    assert not (tmp_path / "candidate.onnx").exists()


def test_prepared_work_is_found_again(tmp_path: Path) -> None:
    first = prepare("cnn", tmp_path)
    policy = Policy.of({layer.name: Choice(Precision.W4) for layer in first.layers})
    artifact = first.apply(policy, tmp_path / "a.onnx")
    pieces = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*") if p.is_file()}
    second = prepare("cnn", tmp_path)
    assert second.fingerprint == first.fingerprint
    assert second.apply(policy, tmp_path / "b.onnx").sha256 == artifact.sha256
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*") if p.is_file()}
    assert after == pieces
    assert prepare("cnn", tmp_path, calibration="percentile").fingerprint != first.fingerprint


def test_the_file_says_where_it_comes_from(zoo: Zoo) -> None:
    prepared = zoo("cnn")
    facts = {p.key: p.value for p in onnx.load(prepared.reference.path).metadata_props}
    assert Policy.from_json(facts["paretune.policy"]) == prepared.reference.policy
    assert facts["paretune.source"] == prepared.fingerprint
