"""Generated spaces know their whole front: shown against looking at every policy."""

from itertools import pairwise, product

import moocore
import numpy as np
import pytest

from experiments.benchmarks.chain import Chain, Far
from experiments.benchmarks.generated import ACCURACY_NOISE, LATENCY_NOISE, Generated, Recipe
from experiments.benchmarks.replay import signs

SMALL = (Recipe(6, precisions=4), Recipe(4, precisions=3, pruned=1), Recipe(5, 3, pruned=2))


@pytest.mark.parametrize("recipe", SMALL, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_the_front_is_that_of_all_policies(recipe: Recipe, seed: int) -> None:
    space = Generated(recipe, seed)
    every = product(*(range(len(knob.options)) for knob in space.knobs))
    costs = np.array([space.truth(indices) for indices in every]) * signs(space)
    expected = np.unique(costs[moocore.is_nondominated(costs)], axis=0)
    found = np.unique(space.front * signs(space), axis=0)
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_a_chain_with_far_terms_that_decide(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = (1, 3, 2, 3, 2, 3, 2)
    shapes = list(pairwise(sizes))
    chain = Chain(
        tuple(rng.integers(0, 9, shape) for shape in shapes),
        tuple(rng.uniform(0, 1, shape) for shape in shapes),
        tuple(rng.random(states) < 0.6 for states in sizes[1:]),
        # One pair ends where the next begins.
        (Far(0, 3, 2.0), Far(3, 5, 1.5)),
    )
    least: dict[int, float] = {}
    for states in product(*map(range, sizes[1:])):
        latency, loss = chain.evaluate(np.array(states))
        least[latency] = min(loss, least.get(latency, np.inf))
    limit = 20
    expected = [
        (latency, loss)
        for latency, loss in sorted(least.items())
        if latency <= limit and all(loss < least[t] for t in least if t < latency)
    ]
    latencies, losses = chain.front(limit)
    assert list(latencies) == [latency for latency, _ in expected]
    assert losses == pytest.approx([loss for _, loss in expected])


def test_neighbours_and_far_layers_interact() -> None:
    space = Generated(Recipe(20), 0)
    assert space.chain.far
    whole = [np.ptp(np.diff(step, axis=1), axis=0).max() for step in space.chain.steps[1:]]
    assert min(whole) > 0, "the latency of two neighbours is no sum"
    far = space.chain.far[0]

    def loss(*harsh: int) -> float:
        states = np.zeros(20, np.int64)
        states[list(harsh)] = 3
        return space.chain.evaluate(states)[1]

    both = loss(far.first, far.last)
    assert both - loss(far.first) - loss(far.last) == pytest.approx(far.loss)


def test_sensitivities_spread_over_orders_of_magnitude() -> None:
    space = Generated(Recipe(60), 1)
    losses = [one[0, 1] for one in space.chain.losses]
    assert max(losses) > 1000 * min(losses)


def test_noise_is_seeded_and_of_the_size_that_is_declared() -> None:
    space = Generated(Recipe(10), 0)
    indices = [1] * 10
    rng = np.random.default_rng(0)
    seen = np.array([space.observe(indices, rng) for _ in range(2000)])
    true = space.truth(indices)
    assert seen.mean(axis=0) == pytest.approx(true, rel=2e-3)
    assert seen.std(axis=0) == pytest.approx([ACCURACY_NOISE, LATENCY_NOISE * true[1]], rel=0.1)
    again = space.observe(indices, np.random.default_rng(0))
    assert list(again) == list(seen[0])


def test_a_seed_is_a_space() -> None:
    one, same, other = (Generated(Recipe(5), seed) for seed in (0, 0, 1))
    assert one.truth([1] * 5).tolist() == same.truth([1] * 5).tolist()
    assert one.truth([1] * 5).tolist() != other.truth([1] * 5).tolist()
