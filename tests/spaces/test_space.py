from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretune.errors import UserError
from paretune.spaces import (
    NM,
    ONNXRUNTIME_CPU,
    Channel,
    ChannelGroup,
    Choice,
    Drop,
    Layer,
    LayerRule,
    Policy,
    Precision,
    ResidualBlock,
    Space,
    Sparsity,
    Unstructured,
    build_space,
)
from tests.spaces.strategies import spaces

CONV = Layer("conv", "Conv", (16, 3, 3, 3), 448, None)
TWIN = Layer("twin", "Conv", (16, 16, 3, 3), 2320, None)
HEAD = Layer("head", "Gemm", (16, 10), 170, None)
GROUP = ChannelGroup("conv", ("conv", "twin"), 16)


@given(spaces(), st.data())
def test_decode_and_encode_are_inverse(space: Space, data: st.DataObject) -> None:
    settings_ = {k.name: data.draw(st.sampled_from(k.options)) for k in space.knobs}
    policy = space.decode(settings_)
    assert space.canonical(policy) == policy
    assert space.decode(space.encode(policy)) == policy


@settings(max_examples=30)
@given(spaces())
def test_size_counts_different_policies(space: Space) -> None:
    names = [knob.name for knob in space.knobs]
    every = product(*(knob.options for knob in space.knobs))
    different = {space.decode(dict(zip(names, options, strict=True))) for options in every}
    assert len(different) == space.size


def test_uniform_is_in_the_space() -> None:
    space = build_space(
        [CONV, TWIN, HEAD], [GROUP], ONNXRUNTIME_CPU, [Precision.INT8], [Channel(0.5)]
    )
    policy = space.uniform(Precision.INT8, 0.4)
    assert str(policy) == "conv=int8+channel:0.5, twin=int8+channel:0.5, head=int8"
    assert space.decode(space.encode(policy)) == policy


def test_amounts_snap_to_counts_that_run_well() -> None:
    space = build_space([CONV], [ChannelGroup("conv", ("conv",), 16)], ONNXRUNTIME_CPU, [], [
        Channel(0.05), Channel(0.4), Channel(0.5), Channel(0.9)
    ])  # fmt: skip
    assert space.channels == {"conv": (0.5,)}


def test_storage_only_choices_are_left_out_of_a_search_for_latency() -> None:
    wanted = [Precision.FP16, Precision.INT8, Precision.W4, Precision.INT8_DYNAMIC]
    sparse: list[Sparsity] = [Unstructured(0.5), NM(2, 4), Channel(0.5)]
    fast = build_space([CONV, HEAD], [], ONNXRUNTIME_CPU, wanted, sparse, storage=False)
    assert fast.precisions["conv"] == (Precision.FP32, Precision.INT8)
    assert fast.precisions["head"] == (
        Precision.FP32, Precision.INT8, Precision.W4, Precision.INT8_DYNAMIC
    )  # fmt: skip
    assert [len(s) for s in fast.sparsities.values()] == [1, 1]
    small = build_space([CONV, HEAD], [], ONNXRUNTIME_CPU, wanted, sparse, storage=True)
    assert Precision.W4 in small.precisions["conv"]
    # Three input channels hold no block of four.
    assert small.sparsities["conv"][1:] == (Unstructured(0.5),)
    assert small.sparsities["head"][1:] == (Unstructured(0.5), NM(2, 4))


def test_last_matching_rule_wins_and_a_tied_group_loses_what_all_may_lose() -> None:
    space = build_space(
        [CONV, TWIN, HEAD],
        [GROUP],
        ONNXRUNTIME_CPU,
        [Precision.INT8],
        [Channel(0.5)],
        [
            LayerRule("re:.", precision=(Precision.INT8,)),
            LayerRule("head", precision=(Precision.FP32,)),
            LayerRule("twin", sparsity=()),
        ],
    )
    assert space.precisions == {
        "conv": (Precision.INT8,), "twin": (Precision.INT8,), "head": (Precision.FP32,)
    }  # fmt: skip
    assert space.channels == {"conv": ()}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (LayerRule("cnov"), "'cnov' matches no layer; nearest are conv"),
        (LayerRule("re:("), "is no pattern"),
        (LayerRule("conv", precision=(Precision.INT8_DYNAMIC,)), "can take none of int8-dynamic"),
    ],
)
def test_bad_rule(rule: LayerRule, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_space([CONV, HEAD], [], ONNXRUNTIME_CPU, [], [], [rule])


def test_no_layer() -> None:
    with pytest.raises(UserError, match="no layer to compress"):
        build_space([], [], ONNXRUNTIME_CPU, [], [])


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"conv": "fp32"}, "lacks the layers twin"),
        ({"conv": "fp32", "twin": "fp32", "x": "fp32"}, "lacks: x"),
        ({"conv": "fp32+channel:0.5", "twin": "fp32"}, "must lose the same channels"),
    ],
)
def test_policies_that_do_not_fit(choices: dict[str, str], message: str) -> None:
    space = build_space([CONV, TWIN], [GROUP], ONNXRUNTIME_CPU, [], [Channel(0.5)])
    with pytest.raises(UserError, match=message):
        space.canonical(Policy.of({name: Choice.parse(text) for name, text in choices.items()}))


def test_policy_that_is_not_offered() -> None:
    space = build_space([HEAD], [], ONNXRUNTIME_CPU, [Precision.INT8], [])
    with pytest.raises(UserError, match="'w4' is not offered; allowed are fp32, int8"):
        space.encode(Policy.of({"head": Choice.parse("w4")}))


STAGE = ChannelGroup("stem", ("stem", "one.b", "two.b"), 16)
ENDS = ChannelGroup("one.b", ("one.b", "two.b"), 16)
BLOCKS = [ResidualBlock("one.a", ("one.a", "one.b")), ResidualBlock("two.a", ("two.a", "two.b"))]


def residual_space(tied: ChannelGroup = STAGE) -> Space:
    """Two residual blocks whose ends are tied, to the stem as in a stage of a ResNet, or not."""
    names = ["stem", "one.a", "one.b", "two.a", "two.b", "head"]
    return build_space(
        [Layer(name, "Conv", (16, 16, 3, 3), 2304, None) for name in names],
        [tied, ChannelGroup("one.a", ("one.a",), 16)],
        ONNXRUNTIME_CPU,
        [Precision.INT8],
        [Channel(0.5), NM(2, 4), Drop()],
        blocks=BLOCKS,
    )


@pytest.mark.parametrize("tied", [STAGE, ENDS])
def test_every_policy_with_blocks_is_counted_once(tied: ChannelGroup) -> None:
    space = residual_space(tied)
    names = [knob.name for knob in space.knobs]
    assert [name for name in names if name.startswith("block/")] == ["block/one.a", "block/two.a"]
    every = product(*(knob.options for knob in space.knobs))
    different = {space.decode(dict(zip(names, options, strict=True))) for options in every}
    assert len(different) == space.size
    assert all(space.canonical(policy) == policy for policy in different)


def test_a_dropped_layer_has_no_precision_and_no_say_in_its_group() -> None:
    space = residual_space()
    settings_ = {"block/one.a": "drop", "precision/one.b": "int8", "channels/stem": "0.5"}
    policy = space.decode(settings_)
    assert str(policy) == (
        "stem=fp32+channel:0.5, one.a=fp32+drop, one.b=fp32+drop, two.a=fp32,"
        " two.b=fp32+channel:0.5, head=fp32"
    )
    assert space.encode(policy)["block/one.a"] == "drop"
    assert space.encode(policy)["channels/stem"] == "0.5"
    spelled = dict(policy) | {"one.a": Choice(Precision.INT8, Drop())}
    assert space.canonical(Policy.of(spelled)) == policy


def test_a_group_that_is_dropped_whole_loses_no_channels() -> None:
    space = residual_space()
    dropped = space.decode({"block/one.a": "drop"})
    assert space.decode({"block/one.a": "drop", "channels/one.a": "0.5"}) == dropped


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("one.a", "one.a, one.b must be dropped together, but one.b would stay"),
        ("head", "head: it cannot be dropped"),
    ],
)
def test_only_whole_blocks_can_be_dropped(name: str, message: str) -> None:
    space = residual_space()
    choices = dict(space.decode({})) | {name: Choice(sparsity=Drop())}
    with pytest.raises(UserError, match=message):
        space.canonical(Policy.of(choices))


def test_a_block_is_offered_if_all_its_layers_may_be_dropped() -> None:
    layers = [CONV, TWIN, HEAD]
    block = ResidualBlock("conv", ("conv", "twin"))

    def offered(*rules: LayerRule, wanted: tuple[Sparsity, ...] = (Drop(),)) -> bool:
        space = build_space(layers, [], ONNXRUNTIME_CPU, [], wanted, rules, blocks=[block])
        assert all(Drop() not in sparse for sparse in space.sparsities.values())
        return space.blocks == (block,)

    assert offered()
    assert not offered(wanted=())
    assert not offered(LayerRule("twin", sparsity=()))
    assert offered(LayerRule("conv", sparsity=(Drop(),)), LayerRule("twin", sparsity=(Drop(),)))


@pytest.mark.parametrize(
    ("unit", "grain", "kept"),
    [
        (1, 8, [96, 72, 48, 24, 8]),
        # Heads of 32 and of 12 channels go whole; a gate and its value are a unit of 2.
        (32, 8, [96, 64, 64, 32, 32]),
        (12, 8, [96, 72, 48, 24, 12]),
        (2, 8, [96, 72, 48, 24, 8]),
        (96, 8, [96, 96, 96, 96, 96]),
    ],
)
def test_channels_go_in_whole_units(unit: int, grain: int, kept: list[int]) -> None:
    group = ChannelGroup("conv", ("conv",), 96, unit)
    assert [group.keep(amount, grain) for amount in (0, 0.25, 0.5, 0.75, 0.95)] == kept
    assert all(group.keep(group.snapped(a, grain), grain) == group.keep(a, grain)
               for a in (0.1, 0.3, 0.6, 0.9))  # fmt: skip
