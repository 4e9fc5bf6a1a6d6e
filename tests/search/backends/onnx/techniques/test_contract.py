"""What every technique promises. One that another package installs is tested here as well."""

from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

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

MODELS = ("cnn", "dense", "mobile", "text")
PRECISIONS = sorted(formats())
SPARSITIES: tuple[Sparsity, ...] = (Unstructured(0.5), NM(2, 4), Block(0.5))


def sources(prepared: OnnxPrepared, *, naive: bool = False) -> list[Source]:
    """Every layer with its weights and statistics as calibrated."""
    parts = prepared._parts
    found = []
    for layer in parts.layers.values():
        moment = parts.statistics.moment(layer.name)
        mean = np.zeros(moment.shape[:2])
        weight = parts.graph.constants[layer.weight]
        found.append(Source(layer, weight, moment, mean, naive=naive))
    return found


def one_layer(prepared: OnnxPrepared, name: str, choice: Choice) -> Policy:
    return Policy.of({x.name: choice if x.name == name else Choice() for x in prepared.layers})


def error(source: Source, choice: Choice) -> float:
    (found,) = [x for x in encode(source, choice) if x.name.endswith("error")]
    return float(numpy_helper.to_array(found))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("model", MODELS)
def test_a_format(model: str, precision: Precision, zoo: Zoo, tmp_path: Path) -> None:
    prepared, form = zoo(model), format_of(precision)
    treated = 0
    for source, naive in zip(sources(prepared), sources(prepared, naive=True), strict=True):
        layer = source.layer
        assert ONNXRUNTIME_CPU.of_precision(precision, layer.layer.op_type) == form.supports.get(
            layer.layer.op_type
        )
        if layer.layer.op_type not in form.supports:
            continue
        treated += 1
        choice = Choice(precision)
        tensors = encode(source, choice)
        assert tensors == encode(source, choice), "same input, same bytes"
        stored = [x for x in tensors if x.name.startswith(source.name)]
        content = sum(len(x.raw_data) for x in stored)
        assert form.size(layer, source.weight.shape) == content
        assert error(source, choice) <= error(naive, choice) + 1e-6
        path = tmp_path / f"{treated}.onnx"
        artifact = prepared.apply(one_layer(prepared, layer.name, choice), path)
        assert artifact.policy[layer.name] == choice, "it reads back"
        results = outputs(path, data_of(model))
        assert all(np.isfinite(array).all() for array in results.values())
        if precision == Precision.FP32:
            assert (
                largest_difference(results, outputs(prepared.reference.path, data_of(model))) < 1e-6
            )
    assert treated == sum(x.op_type in form.supports for x in prepared.layers)


@pytest.mark.parametrize("sparsity", SPARSITIES, ids=str)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("model", MODELS)
def test_a_pattern(
    model: str, precision: Precision, sparsity: Sparsity, zoo: Zoo, tmp_path: Path
) -> None:
    prepared, choice = zoo(model), Choice(precision, sparsity)
    treated = refused = 0
    for source, naive in zip(sources(prepared), sources(prepared, naive=True), strict=True):
        layer = source.layer
        if layer.layer.op_type not in format_of(precision).supports:
            continue
        try:
            tensors = encode(source, choice)
        except Infeasible as reason:
            assert str(reason).startswith(f"{layer.name}: ")
            refused += 1
            continue
        treated += 1
        assert tensors == encode(source, choice)
        assert error(source, choice) <= error(naive, choice) + 1e-6
        path = tmp_path / f"{treated}.onnx"
        artifact = prepared.apply(one_layer(prepared, layer.name, choice), path)
        assert artifact.policy[layer.name] == choice
    supports = format_of(precision).supports
    assert treated + refused == sum(x.op_type in supports for x in prepared.layers)


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


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", ["dead", "one sample", "constant", "huge", "zero weights"])
def test_degenerate_statistics(kind: str, precision: Precision, zoo: Zoo) -> None:
    rng = np.random.default_rng(0)
    for source in sources(zoo("dense")):
        if source.layer.layer.op_type not in format_of(precision).supports:
            continue
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
