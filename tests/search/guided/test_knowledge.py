"""What is known: each trial is read once, and it is as if all had been read at once."""

from itertools import count

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import Trial, TrialState

from paretune.search.guided.knowledge import Facts, Knowledge
from paretune.search.guided.levels import Levels

SPACE: dict[str, BaseDistribution] = {
    "precision/a": CategoricalDistribution(("fp32", "int8", "w4")),
    "precision/b": CategoricalDistribution((1, True, 1.0)),
    "width": IntDistribution(0, 4),
}


def rows(facts: Facts) -> list[list[float]]:
    """All that is known of finished trials, in an order of its own; -9 is nothing."""
    every = np.hstack([facts.x, facts.y, facts.violations])
    return sorted(np.nan_to_num(every, nan=-9.0).tolist())


def end(study: optuna.Study, trial: Trial, rng: np.random.Generator, step: int) -> None:
    """In one of many ways; later on with a constraint that was not known before."""
    kind = rng.random()
    names = ["slow"] if step < 20 else ["big", "slow"]
    if kind < 0.6:
        for name in names:
            trial.set_constraint(name, float(rng.normal()))
    if kind < 0.7:
        study.tell(trial, rng.normal(size=2).tolist())
    else:
        study.tell(trial, state=TrialState.PRUNED if kind < 0.9 else TrialState.FAIL)


def test_it_is_as_if_all_were_read_at_once() -> None:
    rng = np.random.default_rng(0)
    study = optuna.create_study(directions=["minimize", "maximize"])
    knowledge = Knowledge(SPACE)
    running: list[Trial] = []
    for step in range(60):
        # Now and then a trial of another space.
        running.append(study.ask(SPACE if rng.random() < 0.9 else {"else": SPACE["width"]}))
        while running and rng.random() < 0.5:
            end(study, running.pop(int(rng.integers(len(running)))), rng, step)
        apart = running[-1].number if running else -1
        found, anew = knowledge.facts(study, apart), Knowledge(SPACE).facts(study, apart)
        assert rows(found) == rows(anew)
        assert found.running.tolist() == anew.running.tolist()
    assert found.violations.shape[1] == 2
    assert len(found.x) > 15


def test_each_trial_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = count()
    index = Levels.index

    def counted(levels: Levels, value: object) -> int:
        next(reads)
        return index(levels, value)

    monkeypatch.setattr(Levels, "index", counted)
    study = optuna.create_study(directions=["minimize", "maximize"])
    knowledge = Knowledge(SPACE)
    for _ in range(30):
        study.tell(study.ask(SPACE), [0.0, 0.0])
        knowledge.facts(study, -1)
    assert next(reads) == 30 * len(SPACE)
