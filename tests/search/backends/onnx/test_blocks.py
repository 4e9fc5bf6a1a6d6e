"""Dropping residual blocks: what is left is the model as if it had been made without them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.helper import make_node

from paretune.errors import Infeasible
from paretune.evaluators import Batch
from paretune.search.backends.onnx import OnnxBackend
from paretune.search.backends.onnx.blocks import Branch, find_blocks
from paretune.search.backends.onnx.layers import find_layers
from paretune.search.backends.onnx.readback import read_policy
from paretune.spaces import Channel, Choice, Drop, Policy, Precision
from tests.models import floats
from tests.search.backends.onnx.conftest import Zoo
from tests.search.backends.onnx.encoders import FORMS, encoder
from tests.search.backends.onnx.graphs import clean_graph, save_network
from tests.search.backends.onnx.running import largest_difference, outputs
from tests.search.backends.onnx.zoo import data_of, texts

WIDTH = 8


def dropping(prepared: object, names: set[str], other: Choice | None = None) -> Policy:
    from paretune.search.backends.onnx import OnnxPrepared

    assert isinstance(prepared, OnnxPrepared)
    gone = {n for block in prepared.blocks if block.name in names for n in block.layers}
    return Policy.of(
        {
            layer.name: Choice(sparsity=Drop()) if layer.name in gone else other or Choice()
            for layer in prepared.layers
        }
    )


EXPECTED = {
    "cnn": [("block.a", "block.b")],
    "mobile": [],
    "dense": [],
    "grouped": [],
    "text": [],
    "switched_off": [],
    "encoder": [
        (
            "layer0.attention.key",
            "layer0.attention.query",
            "layer0.attention.value",
            "layer0.attention.output",
        ),
        ("layer0.mlp.up", "layer0.mlp.down"),
        (
            "layer1.attention.key",
            "layer1.attention.query",
            "layer1.attention.value",
            "layer1.attention.output",
        ),
        ("layer1.mlp.up", "layer1.mlp.down"),
    ],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_blocks(name: str, zoo: Zoo) -> None:
    assert [block.layers for block in zoo(name).blocks] == EXPECTED[name]


@pytest.mark.parametrize("name", ["cnn", "encoder"])
def test_a_dropped_block_adds_nothing(name: str, zoo: Zoo, tmp_path: Path) -> None:
    """The oracle multiplies by 0 what the graph's `Add` reads from the block."""
    prepared = zoo(name)
    batch = data_of(name)
    every = [branch.block.name for branch in prepared._parts.blocks]
    for names in ({every[0]}, {every[-1]}, set(every)):
        policy = dropping(prepared, names)
        artifact = prepared.apply(policy, tmp_path / "dropped.onnx")
        assert artifact.policy == policy
        expected = onnx.ModelProto()
        expected.CopyFrom(prepared._parts.graph.model)
        zero = onnx.numpy_helper.from_array(np.array(0, np.float32), "nothing")
        expected.graph.initializer.append(zero)
        for branch in prepared._parts.blocks:
            if branch.block.name in names:
                _silence(expected, branch)
        found = outputs(artifact.path, batch)
        assert largest_difference(found, outputs(expected, batch)) < 1e-5
        assert largest_difference(found, outputs(prepared.reference.path, batch)) > 1e-3
        left = {node.name for node in onnx.load(artifact.path).graph.node}
        gone = [b.nodes for b in prepared._parts.blocks if b.block.name in names]
        assert left.isdisjoint(set().union(*gone))


def _silence(model: onnx.ModelProto, branch: Branch) -> None:
    index, add = next((i, n) for i, n in enumerate(model.graph.node) if branch.output in n.output)
    side = next(i for i, name in enumerate(add.input) if name != branch.skip)
    muted = f"{branch.output}.muted"
    model.graph.node.insert(index, make_node("Mul", [add.input[side], "nothing"], [muted], muted))
    model.graph.node[index + 1].input[side] = muted


def test_without_its_blocks_an_encoder_is_what_was_around_them(tmp_path: Path) -> None:
    for form in FORMS:
        folder = tmp_path / form
        folder.mkdir()
        path = encoder(folder / "encoder.onnx", form=form, acts=("gelu",))
        prepared = OnnxBackend().prepare(path, [texts()], folder / "cache", {})
        everything = {block.name for block in prepared.blocks}
        artifact = prepared.apply(dropping(prepared, everything), folder / "dropped.onnx")
        constants = prepared._parts.graph.constants
        batch = texts(5, seed=5)
        pooled = constants["embed.weight"][batch.inputs["ids"]].mean(axis=1)
        head = prepared._parts.layers["head"]
        bias = head.bias or "head.bias"
        expected = pooled @ constants[head.weight] + constants[bias]
        found = outputs(artifact.path, batch)["logits"]
        assert np.abs(found - expected).max() < 1e-5


def test_the_rest_of_a_group_may_still_lose_channels(zoo: Zoo, tmp_path: Path) -> None:
    """`block.b` is tied to `stem`; dropped, it leaves the choice to `stem`."""
    prepared = zoo("cnn")
    policy = dict(dropping(prepared, {"block.a"}))
    policy["stem"] = Choice(Precision.INT8, Channel(0.5))
    artifact = prepared.apply(Policy.of(policy), tmp_path / "both.onnx")
    assert artifact.policy == Policy.of(policy)
    assert np.isfinite(outputs(artifact.path, data_of("cnn"))["logits"]).all()


def test_what_follows_a_dropped_block_reads_what_was_before_it_in_int8_too(
    zoo: Zoo, tmp_path: Path
) -> None:
    """Its input has another range then, so nothing that was stored for the other may be taken."""
    prepared = zoo("cnn")
    int8 = Choice(Precision.INT8)
    whole = prepared.apply(dropping(prepared, set(), int8), tmp_path / "whole.onnx")
    first = prepared.apply(dropping(prepared, {"block.a"}, int8), tmp_path / "first.onnx")
    assert (
        largest_difference(
            outputs(first.path, data_of("cnn")),
            outputs(
                prepared.apply(dropping(prepared, {"block.a"}), tmp_path / "fp32.onnx").path,
                data_of("cnn"),
            ),
        )
        < 0.05
    )
    again = prepared.apply(dropping(prepared, set(), int8), tmp_path / "again.onnx")
    assert again.sha256 == whole.sha256
    kinds = [node.op_type for node in onnx.load(first.path).graph.node]
    assert "Add" not in kinds and "Identity" not in kinds


def test_what_was_stored_for_one_input_is_not_taken_for_another(tmp_path: Path) -> None:
    """The int8 weights of a layer with a large bias depend on the range of what it reads."""
    rng = np.random.default_rng(0)
    nodes = [
        linear("a", "x", "ta"),
        make_node("Add", ["x", "ta"], ["s"], "add"),
        make_node("Gemm", ["s", "b.weight", "b.bias"], ["y"], "b"),
    ]
    weights = {
        "a.weight": 30 * floats(rng, WIDTH, WIDTH),
        "b.weight": 1e-12 * floats(rng, WIDTH, WIDTH),
        "b.bias": np.ones(WIDTH, np.float32),
    }
    path = save_network(tmp_path / "net.onnx", nodes, weights, [WIDTH])
    batch = Batch({"x": rng.standard_normal((4, WIDTH)).astype(np.float32)})
    found = []
    for order in ((), ("a",)):
        cache = tmp_path / f"cache{len(order)}"
        prepared = OnnxBackend().prepare(path, [batch], cache, {})
        for names in (set(order), set[str]()):
            policy = dropping(prepared, names, Choice(Precision.INT8))
            artifact = prepared.apply(policy, tmp_path / "artifact.onnx")
        found.append(artifact.sha256)
    assert found[0] == found[1]


def test_new_names_do_not_depend_on_what_was_dropped(zoo: Zoo) -> None:
    graph = zoo("cnn")._parts.graph
    assert graph.with_nodes([]).mark == graph.mark
    named = make_node("Relu", ["x//y"], ["z"], "relu")
    assert graph.with_nodes([named]).mark == graph.mark


def test_only_whole_blocks_can_be_dropped(zoo: Zoo, tmp_path: Path) -> None:
    prepared = zoo("cnn")
    for name in ("block.a", "head"):
        choices = {layer.name: Choice() for layer in prepared.layers}
        choices[name] = Choice(sparsity=Drop())
        with pytest.raises(Infeasible, match=f"{name}: only a whole residual block"):
            prepared.apply(Policy.of(choices), tmp_path / "candidate.onnx")


def test_a_block_that_is_there_does_not_read_back_as_dropped(zoo: Zoo) -> None:
    prepared = zoo("cnn")
    asked = dropping(prepared, {"block.a"})
    model = onnx.load(prepared.reference.path)
    parts = prepared._parts
    assert read_policy(model, parts.layers.values(), asked, parts.blocks) == (
        prepared.reference.policy
    )
    layer = next(i for i, node in enumerate(model.graph.node) if node.name == "block.a")
    del model.graph.node[layer]
    with pytest.raises(Infeasible, match=r"block\.a: the artifact has no such layer"):
        read_policy(model, parts.layers.values(), asked, parts.blocks)


def blocks_of(folder: Path, nodes: list[onnx.NodeProto], *layers: str) -> list[Branch]:
    """Of a network that reads `x` of (batch, 8) with square layers."""
    rng = np.random.default_rng(0)
    weights = {f"{name}.weight": floats(rng, WIDTH, WIDTH) for name in layers}
    path = save_network(folder / "net.onnx", nodes, weights, [WIDTH])
    graph = clean_graph(path, Batch({"x": np.ones((2, WIDTH), np.float32)}))
    return find_blocks(graph, find_layers(graph))


def linear(name: str, source: str, target: str) -> onnx.NodeProto:
    return make_node("MatMul", [source, f"{name}.weight"], [target], name)


def test_of_nested_blocks_the_innermost_counts(tmp_path: Path) -> None:
    nodes = [
        linear("outer", "x", "o"),
        linear("inner", "o", "i"),
        make_node("Relu", ["i"], ["ir"], "relu"),
        make_node("Add", ["o", "ir"], ["s"], "inner.add"),
        linear("last", "s", "l"),
        make_node("Add", ["l", "x"], ["y"], "outer.add"),
    ]
    found = blocks_of(tmp_path, nodes, "outer", "inner", "last")
    assert [branch.block.layers for branch in found] == [("inner",)]
    assert (found[0].output, found[0].skip) == ("s", "o")


def test_of_two_branches_the_longer_is_the_block(tmp_path: Path) -> None:
    nodes = [
        linear("a", "x", "ta"),
        make_node("Relu", ["ta"], ["tr"], "relu"),
        linear("b", "tr", "tb"),
        linear("shortcut", "x", "ts"),
        make_node("Add", ["ts", "tb"], ["sum"], "add"),
        make_node("Relu", ["sum"], ["y"], "out"),
    ]
    found = blocks_of(tmp_path, nodes, "a", "b", "shortcut")
    assert [(b.block.layers, b.skip) for b in found] == [(("a", "b"), "ts")]


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param(
            [
                linear("a", "x", "ta"),
                make_node("Add", ["x", "ta"], ["s"], "add"),
                make_node("Mul", ["s", "ta"], ["y"], "also"),
            ],
            id="something else reads the branch",
        ),
        pytest.param(
            [
                linear("a", "x", "ta"),
                linear("b", "x", "tb"),
                make_node("Add", ["ta", "tb"], ["y"], "add"),
            ],
            id="branches of equal length",
        ),
        pytest.param(
            [
                linear("a", "x", "ta"),
                make_node("ReduceSum", ["ta"], ["tb"], "sum", keepdims=1),
                make_node("Add", ["x", "tb"], ["y"], "add"),
            ],
            id="a branch that is broadcast",
        ),
        pytest.param(
            [linear("a", "x", "ta"), make_node("Add", ["ta", "ta"], ["y"], "add")],
            id="twice the same",
        ),
    ],
)
def test_no_block(nodes: list[onnx.NodeProto], tmp_path: Path) -> None:
    assert blocks_of(tmp_path, nodes, "a", "b") == []


def test_blocks_in_a_row_up_to_the_output_of_the_graph(tmp_path: Path) -> None:
    """Nothing is left between the input and the output."""
    nodes = [
        linear("a", "x", "ta"),
        make_node("Add", ["x", "ta"], ["s"], "first"),
        linear("b", "s", "tb"),
        make_node("Add", ["tb", "s"], ["y"], "second"),
    ]
    rng = np.random.default_rng(0)
    weights = {f"{name}.weight": floats(rng, WIDTH, WIDTH) for name in ("a", "b")}
    path = save_network(tmp_path / "net.onnx", nodes, weights, [WIDTH])
    batch = Batch({"x": rng.standard_normal((4, WIDTH)).astype(np.float32)})
    prepared = OnnxBackend().prepare(path, [batch], tmp_path / "cache", {})
    artifact = prepared.apply(dropping(prepared, {"a", "b"}), tmp_path / "nothing.onnx")
    assert (outputs(artifact.path, batch)["y"] == batch.inputs["x"]).all()
    one = prepared.apply(dropping(prepared, {"a"}), tmp_path / "one.onnx")
    x = batch.inputs["x"]
    assert np.allclose(outputs(one.path, batch)["y"], x + x @ weights["b.weight"], atol=1e-5)
