"""Clues: what is known of options before any trial."""

from collections.abc import Mapping
from itertools import product

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution
from scipy.stats import spearmanr

from paretune.search.guided import GuidedSampler
from paretune.search.guided.chain import Chain
from paretune.search.guided.clue import Clue, Clues
from paretune.search.guided.features import Features
from paretune.search.guided.structure import Structure
from paretune.search.guided.surrogate import Surrogate

OPTIONS = {
    "precision/a": ("fp32", "int8", "w4"),
    "channels/a": ("0", "0.5"),
    "precision/b": ("fp32", "int8", "w4"),
    "precision/c": ("fp32", "int8", "w4"),
}
CLUES: Clues = {
    "error/mean": {"precision/a": (0, 1, 9), "precision/b": (0, 0.1, 2), "precision/c": (0, 3, 4)},
    "work": {"channels/a": (0, 5), "precision/b": (2, 2, 1)},
}


def test_a_clue_is_relative_and_of_variance_1_over_all_policies() -> None:
    structure = Structure.of(OPTIONS, CLUES)
    every = np.array(list(product(*(range(size) for size in structure.sizes))))
    features = Features(structure)
    for clue, column in zip(structure.clues, features.clued, strict=True):
        assert all(table[0] == 0 for table in clue.tables)
        told = features(every)[:, column]
        assert told.std() == pytest.approx(1)
        sums = [sum(t[i] for t, i in zip(clue.tables, row, strict=True)) for row in every]
        assert told == pytest.approx(np.array(sums))
    assert [clue.family for clue in structure.clues] == ["error", "work"]


def test_a_knob_has_a_column_of_its_own_where_a_clue_tells_its_options_apart() -> None:
    features = Features(Structure.of(OPTIONS, CLUES))
    assert [set(knobs) for knobs in features.clued_knobs] == [{0, 2, 3}, set()]


@pytest.mark.parametrize("profiles", [None, {0: np.array([0.0, 0.3, 1.0])}])
def test_dynamic_programming_counts_clues(profiles: dict[int, np.ndarray] | None) -> None:
    rng = np.random.default_rng(0)
    structure = Structure.of(OPTIONS, CLUES)
    features = Features(structure, profiles)
    weights = rng.standard_normal((5, features.count))
    chain = Chain(structure, rng)
    found = chain.minimize(chain.tables(features, weights))
    every = np.array(list(product(*(range(size) for size in structure.sizes))))
    sums = features(every) @ weights.T
    assert np.allclose((features(found) @ weights.T).diagonal(), sums.min(axis=0))


def test_what_tells_nothing_is_no_clue() -> None:
    assert not Structure.of(OPTIONS, {"flat": {"precision/a": (2, 2, 2)}, "none": {}}).clues
    assert not Structure.of(OPTIONS, {"elsewhere": {"precision/z": (0, 1, 2)}}).clues


@pytest.mark.parametrize("figures", [(0, 1), (0, 1, float("nan")), ()])
def test_a_clue_has_a_figure_for_each_option(figures: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"clue 'error': 'precision/a' has 3 values"):
        Clue.of("error", {"precision/a": figures}, OPTIONS)


LAYERS = 40


def planted(rng: np.random.Generator) -> tuple[Structure, Structure, np.ndarray]:
    """A space with clues that are off by a factor of two, and without; what its options do."""
    options = {f"precision/{layer}": ("fp32", "int8", "w4", "w2") for layer in range(LAYERS)}
    effects = np.exp(rng.normal(0, 1.5, (LAYERS, 1))) * [0, 0.2, 0.5, 1]
    wrong = effects * np.exp(rng.normal(0, 0.7, (LAYERS, 1)))
    clues = {"error": dict(zip(options, wrong.tolist(), strict=True))}
    noise = {f"noise/{i}": _random(options, rng) for i in range(3)}
    return Structure.of(options, {**clues, **noise}), Structure.of(options), effects


def _random(
    options: Mapping[str, tuple[str, ...]], rng: np.random.Generator
) -> dict[str, list[float]]:
    return {name: rng.random(len(values)).tolist() for name, values in options.items()}


@pytest.mark.parametrize("seed", range(3))
def test_a_few_trials_tell_more_with_clues(seed: int) -> None:
    rng = np.random.default_rng(seed)
    told, blind, effects = planted(rng)
    x = rng.integers(4, size=(230, LAYERS))
    y = effects[np.arange(LAYERS), x].sum(axis=1)
    ranks = []
    for structure in (told, blind):
        model = Surrogate.fit(structure, x[:20], y[:20])
        ranks.append(spearmanr(model.spread(x[20:])[0], y[20:])[0])
    assert 1 - ranks[0] < (1 - ranks[1]) / 2


def test_clues_that_mislead_are_outvoted() -> None:
    rng = np.random.default_rng(0)
    _, blind, effects = planted(rng)
    options = {f"precision/{layer}": ("fp32", "int8", "w4", "w2") for layer in range(LAYERS)}
    lies = Structure.of(options, {f"lie/{i}": _random(options, rng) for i in range(4)})
    x = rng.integers(4, size=(500, LAYERS))
    y = effects[np.arange(LAYERS), x].sum(axis=1)
    ranks = [
        spearmanr(Surrogate.fit(structure, x[:300], y[:300]).spread(x[300:])[0], y[300:])[0]
        for structure in (lies, blind)
    ]
    assert ranks[0] > ranks[1] - 0.02


def test_a_sampler_begins_where_clues_say() -> None:
    """One layer in forty is hurt; the clue knows which, and after ten trials the sampler does."""
    space: dict[str, BaseDistribution] = {
        f"precision/{i}": CategoricalDistribution(("fp32", "w2")) for i in range(LAYERS)
    }
    clue = {f"precision/{i}": (0.0, 1.0 if i == 17 else 0.01) for i in range(LAYERS)}

    def search(clues: Clues | None) -> float:
        sampler = GuidedSampler(0, clues)
        study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
        best = 0.0
        for number in range(26):
            trial = study.ask(space)
            fast = {name for name, value in trial.params.items() if value == "w2"}
            hurt = float("precision/17" in fast) + 0.002 * len(fast)
            study.tell(trial, [hurt, 1 - len(fast) / LAYERS])
            if number >= 10 and hurt < 0.5:
                best = max(best, len(fast) / LAYERS)
        return best

    assert search({"error": clue}) > 0.9
