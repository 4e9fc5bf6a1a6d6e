"""What every technique promises. One that another package installs is tested here as well."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from paretune.errors import Infeasible
from paretune.search.backends.onnx import OnnxPrepared
from paretune.search.backends.onnx.techniques import Source, format_of, formats, zeros_of
from paretune.search.backends.onnx.weights import encode
from paretune.spaces import (
    NM,
    ONNXRUNTIME_CPU,
    Block,
    Choice,
    Policy,
    Precision,
    Sparsity,
    Unstructured,
    parse_sparsity,
)
from tests.search.backends.onnx.conftest import Zoo
from tests.search.backends.onnx.running import largest_difference, outputs
from tests.search.backends.onnx.zoo import data_of

LAYERS = [
    ("cnn", "block.a", "Conv"),
    ("cnn", "head", "Gemm"),
    ("dense", "left", "Conv"),
    ("dense", "up", "ConvTranspose"),
    ("mobile", "depth", "Conv"),
    ("text", "proj", "MatMul"),
    ("text", "embed", "Gather"),
]
"""Of each type one; convolutions with many inputs, with fewer than 4, and depthwise."""

SPARSITIES: tuple[Sparsity, ...] = (Unstructured(0.5), NM(2, 4), Block(0.5))
OWN = {*Precision.USUAL, *Precision.OTHERS}
# To a pattern, the palettes between are as these two are.
WITH_ZEROS = [p for p in sorted(formats()) if p not in {f"palette{bits}" for bits in range(3, 8)}]


def supported(
    precisions: Iterable[Precision], layers: Sequence[tuple[str, str, str]] = LAYERS
) -> pytest.MarkDecorator:
    """The layers in all precisions that there are for them."""
    cases = [
        (model, name, precision)
        for model, name, op_type in layers
        for precision in precisions
        if op_type in format_of(precision).supports
    ]
    return pytest.mark.parametrize(("model", "name", "precision"), cases)


def source_of(prepared: OnnxPrepared, name: str, *, naive: bool = False) -> Source:
    """A layer with its weights and statistics as calibrated."""
    parts = prepared._parts
    layer, moment = parts.layers[name], parts.statistics.moment(name)
    mean = np.zeros(moment.shape[:2])
    return Source(layer, parts.graph.constants[layer.weight], moment, mean, naive=naive)


def sources(prepared: OnnxPrepared, *, naive: bool = False) -> list[Source]:
    """Every layer."""
    return [source_of(prepared, layer.name, naive=naive) for layer in prepared.layers]


def one_layer(prepared: OnnxPrepared, name: str, choice: Choice) -> Policy:
    return Policy.of({x.name: choice if x.name == name else Choice() for x in prepared.layers})


def error(tensors: Iterable[TensorProto]) -> float:
    (found,) = [x for x in tensors if x.name.endswith("error")]
    return float(numpy_helper.to_array(found))


def test_every_type_of_layer_is_there(zoo: Zoo) -> None:
    for model, name, op_type in LAYERS:
        assert zoo(model)._parts.layers[name].layer.op_type == op_type
    assert {op_type for _, _, op_type in LAYERS} == {op for _, op in ONNXRUNTIME_CPU.precisions}


@pytest.mark.parametrize("precision", sorted(OWN))
def test_the_table_of_onnxruntime_says_what_the_formats_say(precision: Precision) -> None:
    table = ONNXRUNTIME_CPU.precisions
    known = {op_type: support for (p, op_type), support in table.items() if p == precision}
    assert known == format_of(precision).supports


@supported(sorted(formats()))
def test_a_format(model: str, name: str, precision: Precision, zoo: Zoo, tmp_path: Path) -> None:
    prepared, choice = zoo(model), Choice(precision)
    source = source_of(prepared, name)
    tensors = encode(source, choice)
    assert tensors == encode(source, choice), "same input, same bytes"
    stored = [x for x in tensors if x.name.startswith(source.name)]
    content = sum(len(x.raw_data) for x in stored)
    assert format_of(precision).size(source.layer, source.weight.shape) == content
    naive = encode(source_of(prepared, name, naive=True), choice)
    assert error(tensors) <= error(naive) + 1e-6
    path = tmp_path / "candidate.onnx"
    artifact = prepared.apply(one_layer(prepared, name, choice), path)
    assert artifact.policy[name] == choice, "it reads back"
    results = outputs(path, data_of(model))
    assert all(np.isfinite(array).all() for array in results.values())
    if precision == Precision.FP32:
        assert largest_difference(results, outputs(prepared.reference.path, data_of(model))) < 1e-6


@pytest.mark.parametrize("sparsity", SPARSITIES, ids=str)
@supported(WITH_ZEROS)
def test_a_pattern(
    model: str, name: str, precision: Precision, sparsity: Sparsity, zoo: Zoo, tmp_path: Path
) -> None:
    prepared, choice = zoo(model), Choice(precision, sparsity)
    source = source_of(prepared, name)
    narrow = source.layer.layer.inputs in range(1, 4) and not isinstance(sparsity, Unstructured)
    if precision == "binary" or narrow:
        with pytest.raises(Infeasible, match=f"^{name}: .*{sparsity}"):
            encode(source, choice)
        return
    tensors = encode(source, choice)
    assert tensors == encode(source, choice)
    naive = encode(source_of(prepared, name, naive=True), choice)
    assert error(tensors) <= error(naive) + 1e-6
    artifact = prepared.apply(one_layer(prepared, name, choice), tmp_path / "candidate.onnx")
    assert artifact.policy[name] == choice


@pytest.mark.parametrize("sparsity", SPARSITIES, ids=str)
def test_what_is_not_sparse_does_not_read_back_as_sparse(sparsity: Sparsity, zoo: Zoo) -> None:
    for source in sources(zoo("cnn")):
        whole = np.ones_like(source.problem.weights)
        try:
            zeros_of(sparsity).pattern(source, sparsity)
        except Infeasible:
            continue
        assert not zeros_of(sparsity).holds(source.layer, sparsity, whole)
        assert zeros_of(sparsity).holds(source.layer, sparsity, 0 * whole)


@pytest.mark.parametrize("text", ["unstructured:0", "4:4", "block:0", "rank:0", "channel:0"])
def test_no_amount_is_the_identity(text: str, zoo: Zoo) -> None:
    for source in sources(zoo("cnn")):
        choice = Choice(Precision.FP32, parse_sparsity(text))
        (weight, _) = encode(source, choice)
        np.testing.assert_array_equal(numpy_helper.to_array(weight), source.weight)


@pytest.mark.parametrize("precision", sorted(formats()))
@pytest.mark.parametrize("kind", ["dead", "one sample", "constant", "huge", "zero weights"])
def test_degenerate_statistics(kind: str, precision: Precision, zoo: Zoo) -> None:
    rng = np.random.default_rng(0)
    for model, name, op_type in LAYERS[1:4]:
        if op_type not in format_of(precision).supports:
            continue
        source = source_of(zoo(model), name)
        groups, columns = source.moment.shape[:2]
        one = rng.standard_normal((groups, columns))
        moment, weight = source.moment, source.weight
        match kind:
            case "dead":
                moment = np.zeros_like(moment)
            case "one sample":
                moment = one[:, :, None] * one[:, None, :]
            case "constant":
                moment = np.ones_like(moment)
            case "huge":
                moment = 1e12 * moment
            case _:
                weight = np.zeros_like(weight)
        for sparsity in (parse_sparsity("dense"), *SPARSITIES):
            ill = Source(source.layer, weight, moment, np.zeros((groups, columns)))
            try:
                tensors = encode(ill, Choice(precision, sparsity))
            except Infeasible:
                continue
            for tensor in tensors:
                array = numpy_helper.to_array(tensor).astype(np.float64)
                assert np.isfinite(array).all(), tensor.name
