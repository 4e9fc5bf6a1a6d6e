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
    Layer,
    LayerRule,
    Policy,
    Precision,
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
