"""Attention heads and feed-forward units: removed, they are as if nothing read them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.helper import make_node

from paretune.evaluators import Batch
from paretune.search.backends.onnx import OnnxBackend, OnnxPrepared
from paretune.search.backends.onnx.channels import ChannelMap, map_channels
from paretune.search.backends.onnx.layers import find_layers
from paretune.spaces import Channel, Choice, Policy
from tests.models import floats
from tests.search.backends.onnx.encoders import FORMS, HEADS, SIZE, WIDTH, encoder
from tests.search.backends.onnx.graphs import clean_graph, save_network
from tests.search.backends.onnx.running import largest_difference, outputs
from tests.search.backends.onnx.zoo import texts


def prepared_encoder(folder: Path, form: str, *acts: str) -> OnnxPrepared:
    path = encoder(folder / "encoder.onnx", form=form, acts=acts)
    return OnnxBackend().prepare(
        path, [texts()], folder / "cache", {"calibration": "minmax", "solver": "naive"}
    )


def masked(count: int) -> Batch:
    batch = texts(count, seed=count)
    batch.inputs["mask"][::2, 4:] = 0
    return batch


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("amount", [0.25, 0.5, 0.75])
def test_removed_heads_equal_zeros_in_the_output_projection(
    form: str, amount: float, tmp_path: Path
) -> None:
    prepared = prepared_encoder(tmp_path, form, "gelu", "gelu")
    heads = [group for group in prepared.groups if group.unit > 1]
    assert [group.size // group.unit for group in heads] == [HEADS, HEADS]
    # The layers lose different heads, but each the same number.
    lost = {name: Channel(amount) for group in heads for name in group.layers}
    policy = Policy.of({x.name: Choice(sparsity=lost[x.name]) if x.name in lost else Choice()
                        for x in prepared.layers})  # fmt: skip
    artifact = prepared.apply(policy, tmp_path / "pruned.onnx")
    assert artifact.policy == policy

    parts = prepared._parts
    expected = onnx.ModelProto()
    expected.CopyFrom(parts.graph.model)
    tensors = {tensor.name: tensor for tensor in expected.graph.initializer}
    for index, group in enumerate(heads):
        order = parts.order[group.name]
        # An atom is found at the same place in the output of query, key and value.
        first = [parts.channels.outputs[group.name].tolist().index(atom) for atom in order]
        gone = [(place // SIZE) % HEADS for place in first][round(HEADS * (1 - amount)) :]
        assert len(set(gone)) == HEADS * amount
        projection = parts.layers[f"layer{index}.attention.output"].weight
        weight = numpy_helper.to_array(tensors[projection]).copy()
        for head in gone:
            weight[head * SIZE : (head + 1) * SIZE] = 0
        tensors[projection].CopyFrom(numpy_helper.from_array(weight, projection))
    for batch in (masked(1), masked(5)):
        found = outputs(artifact.path, batch)
        assert largest_difference(found, outputs(expected, batch)) < 1e-5
        assert largest_difference(found, outputs(prepared.reference.path, batch)) > 1e-3


def test_heads_differ_between_the_layers_that_share_a_shape(tmp_path: Path) -> None:
    """One layer loses a head, the other none, though both reshape to the same vector."""
    for form in FORMS:
        folder = tmp_path / form
        folder.mkdir()
        prepared = prepared_encoder(folder, form, "gelu", "gelu")
        group = next(group for group in prepared.groups if group.unit > 1)
        policy = Policy.of(
            {
                layer.name: Choice(sparsity=Channel(0.25))
                if layer.name in group.layers
                else Choice()
                for layer in prepared.layers
            }
        )
        artifact = prepared.apply(policy, folder / "pruned.onnx")
        assert artifact.policy == policy
        assert np.isfinite(outputs(artifact.path, masked(3))["logits"]).all()


@pytest.mark.parametrize("act", ["erf", "tanh", "gelu"])
def test_feed_forward_units(act: str, tmp_path: Path) -> None:
    prepared = prepared_encoder(tmp_path, "constant", act)
    policy = Policy.of(
        {
            layer.name: Choice(sparsity=Channel(0.5)) if layer.name == "layer0.mlp.up" else Choice()
            for layer in prepared.layers
        }
    )
    artifact = prepared.apply(policy, tmp_path / "pruned.onnx")
    stored = {t.name: t.dims for t in onnx.load(artifact.path).graph.initializer}
    sizes = {name: tuple(dims) for name, dims in stored.items() if "mlp" in name}
    assert sorted(sizes.values()) == [(24,), (24, 32), (32,), (32, 24)]
    parts = prepared._parts
    expected = onnx.ModelProto()
    expected.CopyFrom(parts.graph.model)
    place = parts.channels.outputs["layer0.mlp.up"].tolist()
    gone = [place.index(atom) for atom in parts.order["layer0.mlp.up"][24:]]
    for tensor in expected.graph.initializer:
        if tensor.name == parts.layers["layer0.mlp.down"].weight:
            weight = numpy_helper.to_array(tensor).copy()
            weight[gone] = 0
            tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
    for batch in (masked(1), masked(5)):
        found = outputs(artifact.path, batch)
        assert largest_difference(found, outputs(expected, batch)) < 1e-5


def network_map(
    folder: Path, nodes: list[onnx.NodeProto], weights: dict[str, object]
) -> ChannelMap:
    """Of a network that reads `x` of (batch, 6, 32)."""
    path = save_network(folder / "net.onnx", nodes, dict(weights), [6, WIDTH], rank=3)
    rng = np.random.default_rng(0)
    batch = Batch({"x": rng.standard_normal((2, 6, WIDTH)).astype(np.float32)})
    graph = clean_graph(path, batch)
    return map_channels(graph, find_layers(graph))


def linear(name: str, source: str, target: str) -> onnx.NodeProto:
    return make_node("MatMul", [source, f"{name}.weight"], [target], name)


def weights_of(**shapes: tuple[int, int]) -> dict[str, object]:
    rng = np.random.default_rng(1)
    return {f"{name}.weight": floats(rng, *shape[::-1]).T for name, shape in shapes.items()}


def test_a_gated_unit_is_a_gate_and_a_value(tmp_path: Path) -> None:
    nodes = [
        linear("up", "x", "u"),
        make_node("Split", ["u"], ["gate", "value"], "split", axis=-1, num_outputs=2),
        make_node("Sigmoid", ["gate"], ["open"], "open"),
        make_node("Mul", ["open", "value"], ["h"], "gated"),
        linear("down", "h", "y"),
    ]
    found = network_map(tmp_path, nodes, weights_of(up=(WIDTH, 48), down=(24, WIDTH)))
    assert [(group.size, group.unit) for group in found.groups] == [(48, 2)]
    assert (found.outputs["up"][:24] == found.outputs["up"][24:]).all()


@pytest.mark.parametrize("axis", [1, 2])
def test_parts_that_could_lose_all_their_channels_stay(axis: int, tmp_path: Path) -> None:
    """Half of the channels go through a layer of their own: removal may hit just these."""
    nodes = [
        linear("up", "x", "u"),
        make_node("Split", ["u"], ["left", "right"], "split", axis=2, num_outputs=2),
        linear("own", "left", "o"),
        make_node("Relu", ["right"], ["r"], "relu"),
        make_node("Concat", ["o", "r"], ["h"], "concat", axis=axis),
        linear("down", "h", "y"),
    ]
    shapes = weights_of(up=(WIDTH, 48), own=(24, 24), down=(24 * axis, WIDTH))
    groups = network_map(tmp_path, nodes, shapes).groups
    assert "up" not in {name for group in groups for name in group.layers}


HEAD_NODES = [
    linear("up", "x", "u"),
    make_node("Reshape", ["u", "split"], ["s"], "split"),
    make_node("Reshape", ["m", "join"], ["j"], "join"),
    linear("down", "j", "y"),
]


@pytest.mark.parametrize(
    ("middle", "units"),
    [
        # Channels of a head that are added up, or not, and heads that are.
        (make_node("ReduceSum", ["s", "sums_size"], ["m"], "sum", keepdims=1), HEADS),
        (make_node("ReduceSum", ["s", "sums_heads"], ["m"], "sum", keepdims=1), SIZE),
        (make_node("Softmax", ["s"], ["m"], "softmax", axis=3), None),
        (make_node("Transpose", ["s"], ["m"], "mix", perm=[0, 1, 3, 2]), None),
    ],
)
def test_a_split_of_channels_shrinks_along_one_axis_or_stays(
    middle: onnx.NodeProto, units: int | None, tmp_path: Path
) -> None:
    up, split, join, down = HEAD_NODES
    kept = {HEADS: HEADS, SIZE: SIZE, None: WIDTH}[units]
    weights = {
        **weights_of(up=(WIDTH, WIDTH), down=(kept, WIDTH)),
        "split": np.array([0, 0, HEADS, SIZE]),
        "join": np.array([0, 0, -1]),
        "sums_size": np.array([3]),
        "sums_heads": np.array([2]),
    }
    groups = network_map(tmp_path, [up, split, middle, join, down], weights).groups
    expected = [] if units is None else [("up", WIDTH, WIDTH // units)]
    assert [(group.name, group.size, group.unit) for group in groups] == expected


def test_what_computes_with_the_number_of_heads_keeps_them(tmp_path: Path) -> None:
    up, split, join, down = HEAD_NODES
    sum_size = make_node("ReduceSum", ["s", "axis"], ["m"], "sum", keepdims=1)
    count = [
        make_node("Shape", ["s"], ["sizes"], "sizes", start=2, end=3),
        make_node("Cast", ["sizes"], ["heads"], "heads", to=onnx.TensorProto.FLOAT),
        make_node("Div", ["m", "heads"], ["mean"], "mean"),
    ]
    join = make_node("Reshape", ["mean", "join"], ["j"], "join")
    weights = {
        **weights_of(up=(WIDTH, WIDTH), down=(HEADS, WIDTH)),
        "split": np.array([-1, 6, HEADS, SIZE]),
        "join": np.array([0, 0, HEADS]),
        "axis": np.array([3]),
    }
    assert network_map(tmp_path, [up, split, sum_size, *count, join, down], weights).groups == []


def test_a_shape_that_follows_the_heads_by_itself_is_left_alone(tmp_path: Path) -> None:
    """As exporters write scaled dot-product attention: shapes read, cut up and joined again."""
    up, split, _, down = HEAD_NODES
    nodes = [
        up,
        split,
        make_node("ReduceSum", ["s", "axis"], ["m"], "sum", keepdims=1),
        make_node("Shape", ["m"], ["sizes"], "sizes"),
        make_node("Slice", ["sizes", "zero", "three"], ["front"], "front"),
        make_node("Reshape", ["m", "front"], ["j"], "join"),
        down,
    ]
    weights = {
        **weights_of(up=(WIDTH, WIDTH), down=(HEADS, WIDTH)),
        "split": np.array([-1, 6, HEADS, SIZE]),
        "axis": np.array([3]),
        "zero": np.array([0]),
        "three": np.array([3]),
    }
    found = network_map(tmp_path, nodes, weights)
    assert [(group.size, group.unit) for group in found.groups] == [(WIDTH, SIZE)]
    assert [(count.node, count.entry) for count in found.counts] == [("split", 2)]


@pytest.mark.parametrize("other", ["u", "v"])
def test_a_shape_taken_from_other_channels_keeps_both(other: str, tmp_path: Path) -> None:
    nodes = [
        linear("up", "x", "u"),
        linear("twin", "x", "v"),
        make_node("Shape", [other], ["sizes"], "sizes"),
        make_node("Reshape", ["u", "sizes"], ["r"], "reshape"),
        make_node("Concat", ["r", "v"], ["h"], "concat", axis=2),
        linear("down", "h", "y"),
    ]
    shapes = weights_of(up=(WIDTH, 24), twin=(WIDTH, 24), down=(48, WIDTH))
    groups = network_map(tmp_path, nodes, shapes).groups
    assert [group.name for group in groups] == (["up", "twin"] if other == "u" else [])
