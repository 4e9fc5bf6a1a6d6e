"""The sampler as Optuna's studies use it."""

import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import TrialState

from paretune.search.guided import GuidedSampler
from paretune.search.guided.sampler import FIRST

LAYERS, OPTIONS = 8, 4
SPACE: dict[str, BaseDistribution] = {
    f"precision/{i}": CategoricalDistribution(range(OPTIONS)) for i in range(LAYERS)
}


def costs(params: dict[str, int]) -> tuple[float, float]:
    """Damage and latency: layers differ, borders cost."""
    x = [params[name] for name in SPACE]
    damage = sum((1 + i % 3) * (0, 0.1, 0.4, 1.5)[c] for i, c in enumerate(x))
    latency = sum((2 + i % 2) * (1, 0.6, 0.5, 0.4)[c] for i, c in enumerate(x))
    borders = sum(a != b for a, b in itertools.pairwise(x))
    return damage, latency + 0.2 * borders


def search(
    sampler: optuna.samplers.BaseSampler,
    trials: int,
    directions: Sequence[Literal["minimize", "maximize"]] = ("minimize", "minimize"),
) -> optuna.Study:
    study = optuna.create_study(directions=list(directions), sampler=sampler)
    for option in range(OPTIONS):
        study.enqueue_trial(dict.fromkeys(SPACE, option))
    for _ in range(trials):
        trial = study.ask(SPACE)
        found = costs(trial.params)
        signs = [1 if d == "minimize" else -1 for d in directions]
        study.tell(trial, [s * v for s, v in zip(signs, found, strict=True)])
    return study


def dominated(study: optuna.Study, reference: tuple[float, float] = (30.0, 25.0)) -> float:
    import moocore

    points = np.abs(np.array([trial.values for trial in study.trials]))
    return float(moocore.hypervolume(points, ref=np.array(reference)))


def test_it_finds_more_than_others() -> None:
    guided = dominated(search(GuidedSampler(seed=0), 60))
    others = [
        dominated(search(sampler, 60))
        for sampler in (
            optuna.samplers.NSGAIISampler(seed=0, population_size=10),
            optuna.samplers.TPESampler(seed=0),
        )
    ]
    assert guided > max(others)


def test_no_policy_is_proposed_twice() -> None:
    study = search(GuidedSampler(seed=1), 60)
    rows = [tuple(trial.params[name] for name in SPACE) for trial in study.trials]
    assert len(set(rows[FIRST:])) == len(rows[FIRST:])


def test_the_same_seed_gives_the_same_trials() -> None:
    first, again = (search(GuidedSampler(seed=3), 30) for _ in range(2))
    assert [t.params for t in first.trials] == [t.params for t in again.trials]
    assert [t.params for t in first.trials] != [
        t.params for t in search(GuidedSampler(seed=4), 30).trials
    ]


def test_directions_are_respected() -> None:
    up = search(GuidedSampler(seed=0), 50, ("maximize", "minimize"))
    assert dominated(up) > 0.97 * dominated(search(GuidedSampler(seed=0), 50))


def test_running_trials_are_not_proposed_again() -> None:
    study = search(GuidedSampler(seed=0), 20)
    waiting = [study.ask(SPACE) for _ in range(6)]
    rows = {tuple(trial.params.items()) for trial in waiting}
    assert len(rows) == 6
    assert not rows & {
        tuple(t.params.items()) for t in study.get_trials(states=[TrialState.COMPLETE])
    }


def test_constraints_are_honoured() -> None:
    study = optuna.create_study(directions=["minimize"] * 2, sampler=GuidedSampler(seed=0))
    for option in range(OPTIONS):
        study.enqueue_trial(dict.fromkeys(SPACE, option))
    for _ in range(60):
        trial = study.ask(SPACE)
        damage, latency = costs(trial.params)
        trial.set_constraint("damage <= 3", damage - 3)
        study.tell(trial, [damage, latency])
    kept = [t.constraints["damage <= 3"] <= 0 for t in study.trials[30:]]
    assert np.mean(kept) > 0.7


def test_infeasible_trials_teach() -> None:
    # What cannot be built has no values; layer 0 at option 3 never can.
    study = optuna.create_study(directions=["minimize"] * 2, sampler=GuidedSampler(seed=0))
    for option in range(OPTIONS):
        study.enqueue_trial(dict.fromkeys(SPACE, option))
    for _ in range(50):
        trial = study.ask(SPACE)
        if trial.params["precision/0"] == 3:
            trial.set_constraint("feasible", 1.0)
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, costs(trial.params))
    late = [t.params["precision/0"] == 3 for t in study.trials[25:]]
    assert np.mean(late) < 0.2


def test_three_objectives() -> None:
    study = optuna.create_study(directions=["minimize"] * 3, sampler=GuidedSampler(seed=0))
    for _ in range(20):
        trial = study.ask(SPACE)
        damage, latency = costs(trial.params)
        study.tell(trial, [damage, latency, float(sum(trial.params.values()))])
    assert len(study.best_trials) > 3


def test_a_space_that_is_all_tried() -> None:
    study = optuna.create_study(directions=["minimize"] * 2, sampler=GuidedSampler(seed=0))
    space: dict[str, BaseDistribution] = {
        "a": CategoricalDistribution((0, 1)),
        "b": CategoricalDistribution((0, 1, 2)),
    }
    for _ in range(20):
        trial = study.ask(space)
        study.tell(trial, [trial.params["a"], -trial.params["b"]])
    assert len({tuple(t.params.items()) for t in study.trials}) == 6


@pytest.mark.parametrize("count", [1, 2])
def test_one_and_two_knobs(count: int) -> None:
    study = optuna.create_study(direction="minimize", sampler=GuidedSampler(seed=0))
    for _ in range(15):
        trial = study.ask(dict(list(SPACE.items())[:count]))
        study.tell(trial, float(sum((v - 1) ** 2 for v in trial.params.values())))
    assert study.best_value == 0
