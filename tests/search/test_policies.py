"""Policies that the driver comes up with by itself: seeds, and those not seen yet."""

from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from paretune.search.seeds import seed_policies, spread
from paretune.search.unseen import all_policies, unseen_policy
from paretune.spaces import (
    NM,
    ONNXRUNTIME_CPU,
    Channel,
    ChannelGroup,
    Dense,
    Layer,
    Precision,
    Space,
    Sparsity,
    Unstructured,
    build_space,
)
from tests.search.fake import make_space


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    names = [f"l{i}" for i in range(draw(st.integers(1, 3)))]
    tied = draw(st.integers(0, len(names)))
    groups = [ChannelGroup(names[0], tuple(names[:tied]), 32)] if tied else []
    precision = draw(st.sets(st.sampled_from([Precision.INT8, Precision.W8])))
    sparsity: set[Sparsity] = draw(
        st.sets(st.sampled_from([NM(2, 4), Unstructured(0.5), Channel(0.25), Channel(0.5)]))
    )
    layers = [Layer(name, "Gemm", (32, 32), 1056, 1024) for name in names]
    return build_space(
        layers, groups, ONNXRUNTIME_CPU, sorted(precision), sorted(sparsity, key=str), grain=8
    )


@given(spaces())
def test_all_policies_are_as_many_as_the_size_says_each_once(space: Space) -> None:
    policies = list(all_policies(space))
    assert len(policies) == len(set(policies)) == space.size
    assert all(space.canonical(policy) == policy for policy in policies)


@settings(max_examples=20)
@given(spaces(), st.randoms(use_true_random=False))
def test_the_last_unseen_policy_is_found(space: Space, random: Random) -> None:
    policies = list(all_policies(space))
    last = random.choice(policies)
    seen = set(policies) - {last}
    assert unseen_policy(space, seen, np.random.default_rng(0)) == last
    assert unseen_policy(space, set(policies), np.random.default_rng(0)) is None


def test_seeds_are_fp32_then_uniform_then_a_spread_of_channels() -> None:
    space = make_space(precision=(Precision.INT8, Precision.W8))
    seeds = seed_policies(space)
    assert seeds == [
        space.uniform(Precision.FP32),
        space.uniform(Precision.INT8),
        space.uniform(Precision.W8),
        space.uniform(Precision.FP32, 0.25),
        space.uniform(Precision.INT8, 0.25),
        space.uniform(Precision.FP32, 0.5),
        space.uniform(Precision.INT8, 0.5),
    ]
    assert all(isinstance(choice.sparsity, Dense) for seed in seeds[:3] for _, choice in seed)


@given(spaces())
def test_seeds_differ_and_belong_to_the_space(space: Space) -> None:
    seeds = seed_policies(space)
    assert len(set(seeds)) == len(seeds) <= space.size
    assert all(space.decode(space.encode(seed)) == seed for seed in seeds)


@given(st.lists(st.floats(0.01, 0.99), unique=True), st.integers(2, 6))
def test_a_spread_keeps_both_ends(values: list[float], count: int) -> None:
    ascending = sorted(values)
    chosen = spread(ascending, count)
    assert len(chosen) == min(count, len(values))
    assert chosen == sorted(set(chosen))
    assert chosen[:1] == ascending[:1]
    assert chosen[-1:] == ascending[-1:]
