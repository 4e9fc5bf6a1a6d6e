"""Low rank, from the choice to the file and back."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from paretune.errors import Infeasible
from paretune.search.backends.onnx import OnnxPrepared
from paretune.search.backends.onnx.matrices import to_weight
from paretune.search.backends.onnx.readback import read_policy
from paretune.search.backends.onnx.solvers.lowrank import Factors, factor_plainly
from paretune.search.backends.onnx.solvers.problem import Problem
from paretune.search.backends.onnx.solvers.spatial import Kernel, folded
from paretune.search.backends.onnx.techniques import Source, formats, rank
from paretune.search.backends.onnx.weights import encode
from paretune.spaces import (
    Channel,
    Choice,
    LowRank,
    Policy,
    Precision,
    build_space,
)
from tests.search.backends.onnx.conftest import Zoo
from tests.search.backends.onnx.running import largest_difference, outputs
from tests.search.backends.onnx.techniques.test_contract import (
    LAYERS,
    error,
    one_layer,
    source_of,
    sources,
    supported,
)
from tests.search.backends.onnx.zoo import data_of

MODELS = ("cnn", "dense", "mobile", "text")
HALF = LowRank(0.5)
FP32 = Choice(Precision.FP32, HALF)
INNER_IS_FLOAT = sorted(set(formats()) - {Precision.INT8})


def treatable(prepared: OnnxPrepared, *, naive: bool = False) -> list[Source]:
    return [x for x in sources(prepared, naive=naive) if x.layer.layer.fits(HALF)]


def constants(path: Path) -> dict[str, NDArray[Any]]:
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


@supported(INNER_IS_FLOAT, [LAYERS[0], LAYERS[1], LAYERS[5]])
def test_in_every_format(
    model: str, name: str, precision: Precision, zoo: Zoo, tmp_path: Path
) -> None:
    prepared, choice = zoo(model), Choice(precision, HALF)
    source, naive = (source_of(prepared, name, naive=naive) for naive in (False, True))
    tensors = encode(source, choice)
    assert tensors == encode(source, choice), "same input, same bytes"
    assert error(tensors) <= error(encode(naive, choice)) + 1e-6
    path = tmp_path / "candidate.onnx"
    artifact = prepared.apply(one_layer(prepared, name, choice), path)
    assert artifact.policy[name] == choice
    results = outputs(path, data_of(model))
    assert all(np.isfinite(array).all() for array in results.values())


@pytest.mark.parametrize("model", MODELS)
def test_the_file_computes_what_the_product_of_the_factors_does(
    model: str, zoo: Zoo, tmp_path: Path
) -> None:
    """Put into the uncompressed graph by hand, with the corrected bias."""
    prepared = zoo(model)
    for index, source in enumerate(treatable(prepared)):
        layer, path = source.layer, tmp_path / f"{index}.onnx"
        prepared.apply(one_layer(prepared, layer.name, FP32), path)
        stored = constants(path)
        whole = onnx.load(prepared.reference.path)
        product = multiplied(
            stored[f"{layer.stem}inner/weight"], stored[f"{layer.stem}outer/weight"]
        )
        assert product.shape == source.weight.shape
        replacing = {layer.weight: product}
        if layer.bias and f"{layer.stem}corrected" in stored:
            replacing[layer.bias] = stored[f"{layer.stem}corrected"]
        elif f"{layer.stem}corrected" in stored:
            (adder,) = [
                n for n in onnx.load(path).graph.node if f"{layer.stem}corrected" in n.input
            ]
            (before,) = [n for n in whole.graph.node if n.name == adder.name]
            where = list(adder.input).index(f"{layer.stem}corrected")
            replacing[before.input[where]] = stored[f"{layer.stem}corrected"]
        for tensor in whole.graph.initializer:
            if tensor.name in replacing:
                made = numpy_helper.from_array(replacing[tensor.name], tensor.name)
                tensor.CopyFrom(made)
        found, expected = outputs(path, data_of(model)), outputs(whole, data_of(model))
        assert largest_difference(found, expected) < 1e-5


def multiplied(inner: NDArray[Any], outer: NDArray[Any]) -> NDArray[Any]:
    """The weight of one layer that does what the two do."""
    if inner.ndim == 2:
        product: NDArray[Any] = inner @ outer
        return product
    found: NDArray[Any] = np.einsum("rihw,orHW->oihHwW", inner, outer)
    outputs_, inputs, *size = found.shape
    whole: NDArray[Any] = found.reshape(outputs_, inputs, size[0] * size[1], size[2] * size[3])
    return whole


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("amount", [0.25, 0.5, 0.75])
def test_the_work_is_saved(model: str, amount: float, zoo: Zoo, tmp_path: Path) -> None:
    prepared = zoo(model)
    for index, source in enumerate(treatable(prepared)):
        layer, path = source.layer, tmp_path / f"{index}.onnx"
        prepared.apply(
            one_layer(prepared, layer.name, Choice(Precision.FP32, LowRank(amount))), path
        )
        nodes = {node.name: node for node in onnx.load(path).graph.node}
        stored = constants(path)
        assert layer.weight not in stored
        inner, outer = nodes[f"{layer.stem}inner"], nodes[layer.name]
        assert outer.input[0] == inner.output[0]
        assert outer.output[0] == layer.node.output[0]
        weights = sum(stored[node.input[1]].size for node in (inner, outer))
        assert weights < source.weight.size


@pytest.mark.parametrize(
    ("model", "layer", "choice", "reason"),
    [
        ("mobile", "depth", "fp32+rank:0.5", "needs a convolution without groups, it has 16"),
        ("grouped", "group", "fp32+rank:0.5", "needs a convolution without groups, it has 2"),
        ("dense", "up", "fp32+rank:0.5", "is for Conv, Gemm and MatMul, it is a ConvTranspose"),
        ("text", "embed", "fp32+rank:0.5", "is for Conv, Gemm and MatMul, it is a Gather"),
        ("cnn", "head", "int8+rank:0.5", "has no calibrated range between its factors"),
    ],
)
def test_what_has_no_factors(
    model: str, layer: str, choice: str, reason: str, zoo: Zoo, tmp_path: Path
) -> None:
    prepared, asked = zoo(model), Choice.parse(choice)
    with pytest.raises(Infeasible, match=f"^{layer}: rank:0.5 {reason}"):
        prepared.apply(one_layer(prepared, layer, asked), tmp_path / "candidate.onnx")


def test_a_layer_too_small(zoo: Zoo) -> None:
    (source,) = [x for x in sources(zoo("cnn")) if x.layer.name == "head"]
    row = Source(source.layer, source.weight[:, :1], source.moment, source.mean)
    with pytest.raises(Infeasible, match=r"^head: rank:0.5 saves no work on a \(\d+, 1\)"):
        encode(row, FP32)


@pytest.mark.parametrize("model", ["cnn", "dense", "mobile", "text", "grouped", "switched_off"])
def test_the_space_offers_what_can_be_built(model: str, zoo: Zoo, tmp_path: Path) -> None:
    prepared = zoo(model)
    space = build_space(prepared.layers, prepared.groups, prepared.capabilities, [], [HALF])
    for layer in prepared.layers:
        policy = one_layer(prepared, layer.name, FP32)
        if HALF in space.sparsities[layer.name]:
            prepared.apply(policy, tmp_path / "candidate.onnx")
        else:
            with pytest.raises(Infeasible, match=f"^{layer.name}: rank:0.5 "):
                prepared.apply(policy, tmp_path / "candidate.onnx")


def test_it_is_read_from_the_nodes(zoo: Zoo, tmp_path: Path) -> None:
    """Whatever was asked for."""
    prepared = zoo("cnn")
    layers = list(prepared._parts.layers.values())
    dense = Policy.of({layer.name: Choice() for layer in prepared.layers})
    low = one_layer(prepared, "block.a", FP32)
    path = tmp_path / "low.onnx"
    prepared.apply(low, path)
    found = read_policy(onnx.load(path), layers, low)
    assert found == low
    sparsity = read_policy(onnx.load(path), layers, dense)["block.a"].sparsity
    assert isinstance(sparsity, LowRank)
    assert 0.3 < sparsity.amount < 0.6
    other = one_layer(prepared, "block.a", Choice(Precision.FP32, LowRank(0.9)))
    assert read_policy(onnx.load(path), layers, other)["block.a"].sparsity == sparsity
    assert read_policy(onnx.load(prepared.reference.path), layers, low) == dense


def test_factors_in_two_formats_are_no_choice(zoo: Zoo, tmp_path: Path) -> None:
    prepared = zoo("cnn")
    layers = prepared._parts.layers
    asked = one_layer(prepared, "block.a", Choice(Precision.FP16, HALF))
    prepared.apply(asked, tmp_path / "low.onnx")
    model = onnx.load(tmp_path / "low.onnx")
    inner = layers["block.a"].stem + "inner/weight"
    for tensor in model.graph.initializer:
        if tensor.name == inner:
            wide = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(wide, inner))
    for node in model.graph.node:
        if node.name.endswith("inner"):
            node.input[1] = inner
    with pytest.raises(Infeasible, match="block.a: its factors are stored as fp32 and fp16"):
        read_policy(model, layers.values(), asked)


def test_behind_a_layer_that_lost_channels(zoo: Zoo, tmp_path: Path) -> None:
    """The factors are those of the weights that are left."""
    prepared = zoo("dense")
    choices = {layer.name: Choice() for layer in prepared.layers}
    choices["left"] = Choice(sparsity=Channel(0.5))
    choices["merge"] = FP32
    artifact = prepared.apply(Policy.of(choices), tmp_path / "candidate.onnx")
    assert artifact.policy == Policy.of(choices)
    stem = prepared._parts.layers["merge"].stem
    assert constants(artifact.path)[f"{stem}inner/weight"].shape[1] == 40 - 8
    for array in outputs(artifact.path, data_of("dense")).values():
        assert np.isfinite(array).all()


def test_beside_int8_layers(zoo: Zoo, tmp_path: Path) -> None:
    """Their borders stay where they are for a float layer."""
    prepared = zoo("cnn")
    choices = {layer.name: Choice(Precision.INT8) for layer in prepared.layers}
    choices["block.a"] = FP32
    artifact = prepared.apply(Policy.of(choices), tmp_path / "candidate.onnx")
    assert artifact.policy == Policy.of(choices)
    found = outputs(artifact.path, data_of("cnn"))
    near = prepared.apply(one_layer(prepared, "block.a", FP32), tmp_path / "near.onnx")
    assert largest_difference(found, outputs(near.path, data_of("cnn"))) < 0.06


@pytest.mark.parametrize("kind", ["dead", "one sample", "constant", "huge", "zero weights"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-dynamic", "w4", "palette3"])
def test_degenerate_statistics(kind: str, precision: str, zoo: Zoo) -> None:
    form, choice = formats()[Precision(precision)], Choice(Precision(precision), HALF)
    rng = np.random.default_rng(0)
    for source in treatable(zoo("cnn")):
        if source.layer.layer.op_type not in form.supports:
            continue
        groups, columns = source.moment.shape[:2]
        one = rng.standard_normal((groups, columns))
        moment = {
            "dead": np.zeros_like(source.moment),
            "one sample": one[:, :, None] * one[:, None, :],
            "constant": np.ones_like(source.moment),
            "huge": 1e12 * source.moment,
        }.get(kind, source.moment)
        weight = source.weight * np.float32(kind != "zero weights")
        ill = Source(source.layer, weight, moment, np.zeros((groups, columns)))
        for tensor in encode(ill, choice):
            array = numpy_helper.to_array(tensor).astype(np.float64)
            assert np.isfinite(array).all(), tensor.name


@pytest.mark.parametrize("spatial", [False, True])
def test_the_form_with_the_smaller_error_is_taken(spatial: bool, zoo: Zoo) -> None:
    """Weights that one of the forms can represent exactly."""
    (source,) = [x for x in sources(zoo("cnn")) if x.layer.name == "block.a"]
    outputs_, inputs, height, width = source.weight.shape
    kernel = Kernel(height, width) if spatial else Kernel(height * width, 1)
    rng = np.random.default_rng(0)
    left = rng.standard_normal((1, outputs_ * kernel.width, 2))
    right = rng.standard_normal((1, 2, inputs * kernel.height))
    exact = to_weight(source.layer, kernel.unfold(left @ right), source.weight.shape)
    made = replace(source, weight=exact.astype(np.float32))
    (record,) = [x for x in encode(made, FP32) if x.name.endswith("factors")]
    assert numpy_helper.to_array(record).tolist()[:2] == [kernel.height, kernel.width]
    assert error(encode(made, FP32)) < 1e-9


def test_the_outer_factor_makes_up_for_the_rounded_inner_one(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse = [Choice(Precision(name), HALF) for name in ("w2", "ternary", "palette2")]
    layers = treatable(zoo("cnn"))
    refitted = [error(encode(source, choice)) for choice in coarse for source in layers]
    monkeypatch.setattr(rank, "refit_left", lambda problem, factors, kernel: factors)
    plain = [error(encode(source, choice)) for choice in coarse for source in layers]
    assert np.median(np.divide(refitted, plain)) < 0.97


def test_the_naive_rule_is_what_is_left_if_solving_goes_wrong(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worst(problem: Problem, rank: int, kernel: Kernel) -> Factors:
        plain = factor_plainly(folded(problem, kernel), rank)
        return Factors(100 * plain.left, plain.right)

    monkeypatch.setattr(rank, "factor_spatially", worst)
    monkeypatch.setattr(rank, "refit_left", lambda problem, factors, kernel: factors)
    solved, naive = treatable(zoo("cnn")), treatable(zoo("cnn"), naive=True)
    for one, other in zip(solved, naive, strict=True):
        assert error(encode(one, FP32)) == error(encode(other, FP32))
