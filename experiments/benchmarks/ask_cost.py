"""What the next trial costs when the sampler has seen thousands."""

import time

import numpy as np
import optuna
from optuna.trial import create_trial

from experiments.benchmarks.generated import RECIPES, Generated
from experiments.benchmarks.replay import distributions
from paretune.search.samplers import hush_optuna, make_sampler

SPACE = "generated40"
KNOBS = 80
TOLD = 5000
ASKS = 64


def ask_cost(name: str, limit: float, told: int = TOLD, asks: int = ASKS) -> float:
    """Milliseconds that asking and telling take per trial: the mean of some in a row.

    The first one, in which a sampler reads all that there is, is left out: a search pays for it
    once, when it is resumed.

    Args:
        limit: seconds after which fewer asks must do.
        told: trials that the sampler knows, of random policies.
    """
    hush_optuna()
    rng = np.random.default_rng(0)
    problem = Generated(RECIPES[SPACE], 0)
    space = distributions(problem)
    sampler = make_sampler(name, 0, problem.clues)
    study = optuna.create_study(directions=list(problem.directions), sampler=sampler)

    def values(params: dict[str, int]) -> list[float]:
        return list(map(float, problem.observe([params[k.name] for k in problem.knobs], rng)))

    for _ in range(told):
        params = {knob.name: int(rng.integers(len(knob.options))) for knob in problem.knobs}
        study.add_trial(create_trial(params=params, distributions=space, values=values(params)))
    taken: list[float] = []
    while not taken or (len(taken) <= asks and sum(taken) < limit):
        begin = time.perf_counter()
        trial = study.ask(space)
        asked = time.perf_counter()
        found = values(trial.params)
        told_at = time.perf_counter()
        study.tell(trial, found)
        taken.append(time.perf_counter() - told_at + asked - begin)
    return 1e3 * float(np.mean(taken[1:] or taken))
