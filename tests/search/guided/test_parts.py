"""The sampler's parts against brute force."""

from itertools import product

import moocore
import numpy as np
import pytest

from paretune.search.guided.chain import Chain, Tables, weighed
from paretune.search.guided.features import Features
from paretune.search.guided.improvement import Improver
from paretune.search.guided.knowledge import Facts
from paretune.search.guided.levels import Levels
from paretune.search.guided.proposing import Planner
from paretune.search.guided.structure import Structure
from paretune.search.guided.surrogate import Surrogate
from paretune.search.guided.warp import Shape, Warp

STRUCTURE = Structure.of(
    {
        "precision/a": ("fp32", "int8", "w4"),
        "channels/a": ("0", "0.5"),
        "precision/b": ("fp32", "int8", "w4"),
        "precision/c": ("fp32", "int8", "w4"),
        "channels/c": ("0", "0.5"),
    }
)


def everything(structure: Structure) -> np.ndarray:
    return np.array(list(product(*(range(size) for size in structure.sizes))))


def test_names_tell_kinds_and_sites() -> None:
    assert STRUCTURE.kinds == (0, 1, 0, 0, 1)
    assert STRUCTURE.sites == (0, 0, 1, 2, 2)
    assert (0, 1) in STRUCTURE.pairs and (1, 2) in STRUCTURE.pairs
    assert (0, 3) not in STRUCTURE.pairs


def test_names_without_a_kind_are_sites_of_their_own() -> None:
    found = Structure.of({"x": (0, 1), "y": (0, 1), "z": (0, 1, 2)})
    assert found.sites == (0, 1, 2)
    assert found.kinds == (0, 0, 1)


@pytest.mark.parametrize("profiles", [None, {0: np.array([0.0, 0.3, 1.0])}])
def test_dynamic_programming_finds_the_least_sum(profiles: dict[int, np.ndarray] | None) -> None:
    rng = np.random.default_rng(0)
    features = Features(STRUCTURE, profiles)
    weights = rng.standard_normal((5, features.count))
    chain = Chain(STRUCTURE, rng)
    found = chain.minimize(chain.tables(features, weights))
    every = everything(STRUCTURE)
    sums = features(every) @ weights.T
    assert np.allclose((features(found) @ weights.T).diagonal(), sums.min(axis=0))


def test_objectives_are_weighed_in_several_ways() -> None:
    rng = np.random.default_rng(1)
    features = Features(STRUCTURE)
    drawn = rng.standard_normal((2, 3, features.count))
    weights = rng.uniform(0.1, 1, (3, 4, 2))
    chain = Chain(STRUCTURE, rng)
    tables = [chain.tables(features, one) for one in drawn]
    found = chain.minimize(weighed(tables, weights))
    sums = features(everything(STRUCTURE)) @ np.einsum("dwo,odc->cdw", weights, drawn).reshape(
        features.count, -1
    )
    mixed = np.einsum("dwo,odc->dwc", weights, drawn).reshape(12, -1)
    assert np.allclose((features(found) * mixed).sum(axis=1), sums.min(axis=0))


def test_one_site_needs_no_neighbour() -> None:
    structure = Structure.of({"x": (0, 1, 2)})
    chain = Chain(structure, np.random.default_rng(0))
    assert chain.minimize(Tables([np.array([[3.0, 1.0, 2.0]])], [])).tolist() == [[1]]


@pytest.mark.parametrize("seed", range(5))
def test_improvement_is_the_difference_of_hypervolumes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    front, candidates = rng.random((6, 2)), rng.uniform(-0.2, 1.3, (40, 2))
    reference = np.array([1.0, 0.9])
    gained = Improver(reference, np.zeros(2), rng)(front, candidates)

    def volume(points: np.ndarray) -> float:
        return float(moocore.hypervolume(points, ref=reference))

    expected = [volume(np.vstack([front, c])) - volume(front) for c in candidates]
    assert np.allclose(gained, expected)


def test_improvement_of_three_objectives_is_sampled() -> None:
    rng = np.random.default_rng(0)
    front, candidates = rng.random((8, 3)), rng.uniform(0, 1, (20, 3))
    reference = np.ones(3)
    gained = Improver(reference, np.zeros(3), rng)(front, candidates)
    base = moocore.hypervolume(front, ref=reference)
    expected = [
        moocore.hypervolume(np.vstack([front, c]), ref=reference) - base for c in candidates
    ]
    assert np.allclose(gained, expected, atol=0.03)
    assert gained[np.array(expected) < 1e-9].max() == 0


@pytest.mark.parametrize("shape", ["plain", "root", "logarithm", "ceiling", "logit"])
def test_warps_are_monotone_and_can_be_undone(shape: Shape) -> None:
    y = np.sort(np.random.default_rng(0).random(50)) * 3 - 1
    warp = Warp.of(y, shape)
    z = warp(y)
    assert (np.diff(z) > 0).all()
    assert np.allclose(warp.back(z), y)
    assert abs(z.mean()) < 1e-9 and z.std() == pytest.approx(1)
    step = 1e-6
    assert np.allclose(warp.slope(y), (warp(y + step) - warp(y - step)) / (2 * step), rtol=1e-3)


def planted(x: np.ndarray) -> np.ndarray:
    strength = np.array([1.0, 0.3, 2.0])
    precision = np.array([0.0, 0.2, 1.0])
    damage = precision[x[:, [0, 2, 3]]] @ strength + 0.4 * x[:, 1] + 0.1 * x[:, 4]
    found: np.ndarray = damage + 0.5 * ((x[:, 0] == 2) & (x[:, 2] == 2))
    return found


def test_the_surrogate_learns_planted_effects() -> None:
    rng = np.random.default_rng(0)
    every = everything(STRUCTURE)
    some = every[rng.permutation(len(every))[:50]]
    y = planted(some) + 0.01 * rng.standard_normal(len(some))
    mean, covariance = Surrogate.fit(STRUCTURE, some, y).posterior(every)
    truth = planted(every)
    deviation = np.sqrt(np.diag(covariance))
    assert np.sqrt(((mean - truth) ** 2).mean()) < 0.15 * truth.std()
    assert (np.abs(mean - truth) < 3 * deviation + 0.02).mean() > 0.9


def test_draws_agree_with_the_posterior() -> None:
    rng = np.random.default_rng(0)
    every = everything(STRUCTURE)
    y = planted(every)
    found = Surrogate.fit(STRUCTURE, every, y)
    drawn = found.weights(400, rng)
    features = found.kernel.features
    # All is told here, and the columns can say nearly all of it.
    told = features(every) @ drawn.T
    told -= told.mean(axis=0)
    target = found.warp(y) - found.warp(y).mean()
    assert np.corrcoef(told[:, 0], target)[0, 1] > 0.95
    assert np.allclose(told[:, 1:].mean(axis=1), told[:, 0], atol=0.2)


@pytest.mark.parametrize("y", [np.zeros(12), np.r_[np.zeros(11), 1e9], np.full(12, -3.5)])
def test_odd_values_do_no_harm(y: np.ndarray) -> None:
    x = everything(STRUCTURE)[:12]
    mean, covariance = Surrogate.fit(STRUCTURE, x, y).posterior(x)
    assert np.isfinite(mean).all() and np.isfinite(covariance).all()


def test_levels_of_a_range() -> None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    assert Levels.of(IntDistribution(3, 9, step=2)).values == (3, 5, 7, 9)
    assert len(Levels.of(FloatDistribution(1e-7, 1.0, log=True)).values) == 9
    assert Levels.of(FloatDistribution(0.0, 8.0)).index(6.9) == 7
    mixed = Levels.of(CategoricalDistribution((1, True, None, "1")))
    assert [mixed.index(v) for v in (1, True, None, "1")] == [0, 1, 2, 3]


def test_nothing_improves_on_a_front_that_holds_all() -> None:
    rng = np.random.default_rng(0)
    improver = Improver(np.ones(3), np.zeros(3), rng)
    assert improver(np.zeros((1, 3)), rng.random((5, 3))).tolist() == [0.0] * 5


def test_what_is_measured_or_running_is_not_planned() -> None:
    every = everything(STRUCTURE)
    measured, running, left = every[:60], every[60:70], every[70:]
    y = np.stack([planted(measured), -measured.sum(axis=1)], axis=1).astype(float)
    facts = Facts(STRUCTURE, measured, y, np.empty((60, 0)), running)
    planned = Planner(STRUCTURE, np.random.default_rng(0)).propose(facts, len(every))
    assert sorted(map(tuple, planned)) == sorted(map(tuple, left))


def test_what_was_the_same_everywhere_may_vary_later_and_the_other_way_round() -> None:
    """A constraint is often broken by nothing, until something breaks it."""
    every = everything(STRUCTURE)
    x = every[np.random.default_rng(0).permutation(len(every))]
    same, varied = np.full(len(x), -0.01), x @ np.array([1.0, 0.5, 1.0, 0.2, 0.5])
    before = Surrogate.fit(STRUCTURE, x[:12], same[:12])
    found, _ = Surrogate.fit(STRUCTURE, x[:14], varied[:14], before).posterior(every)
    fresh, _ = Surrogate.fit(STRUCTURE, x[:14], varied[:14]).posterior(every)
    np.testing.assert_allclose(found, fresh)
    flat = Surrogate.fit(
        STRUCTURE, x[:14], same[:14], Surrogate.fit(STRUCTURE, x[:12], varied[:12])
    )
    np.testing.assert_allclose(flat.posterior(every)[0], -0.01, atol=1e-6)
    again, _ = Surrogate.fit(STRUCTURE, x[:14], varied[:14], flat).posterior(every)
    np.testing.assert_allclose(again, fresh)
