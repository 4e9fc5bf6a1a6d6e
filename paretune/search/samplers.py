"""Samplers by name."""

import logging
import warnings
from collections.abc import Callable

import optuna
from optuna.samplers import (
    BaseSampler,
    BruteForceSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from paretune.errors import UserError
from paretune.names import nearest
from paretune.plugins import find_plugins, load_plugin
from paretune.search.clues import Clues

SAMPLERS = "paretune.samplers"


class _BruteForce(BruteForceSampler):
    """Optuna's stops the study once it has tried everything, which only `Study.optimize` allows."""

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: object,
    ) -> None:
        pass


def _guided(seed: int, clues: Clues | None = None) -> BaseSampler:
    # Takes long to import, and readers of a study do not need it.
    from paretune.search.guided import GuidedSampler

    return GuidedSampler(seed, clues)


_BUILT_IN: dict[str, Callable[[int], BaseSampler]] = {
    "guided": _guided,
    "nsga2": lambda seed: NSGAIISampler(seed=seed),
    "nsga3": lambda seed: NSGAIIISampler(seed=seed),
    "tpe": lambda seed: TPESampler(seed=seed, multivariate=True),
    "gp": lambda seed: GPSampler(seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
    "qmc": lambda seed: QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False),
    "brute": lambda seed: _BruteForce(seed=seed),
}


def sampler_names() -> list[str]:
    """Those built in, then those that other packages bring.

    Raises:
        UserError: a name is taken twice.
    """
    plugins = find_plugins(SAMPLERS)
    for name in plugins:
        if name in _BUILT_IN:
            point = plugins[name]
            owner = point.dist.name if point.dist else point.value
            raise UserError(f"the sampler '{name}' of the package {owner} is built in already")
    return [*_BUILT_IN, *plugins]


def check_sampler(name: str) -> None:
    """Refuse a sampler that does not exist.

    Raises:
        UserError: names the nearest one.
    """
    if name not in (known := sampler_names()):
        raise UserError(f"search.sampler: unknown sampler '{name}'{nearest(name, known)}")


def make_sampler(name: str, seed: int, clues: Clues | None = None) -> BaseSampler:
    """A fresh sampler.

    A plugin's factory is called with the seed and returns an `optuna.samplers.BaseSampler`.

    Args:
        clues: what is known of the options already; only `guided` makes use of it.

    Raises:
        UserError: unknown name, or a plugin that is no factory of samplers.
    """
    check_sampler(name)
    factory = _BUILT_IN.get(name) or load_plugin(SAMPLERS, name)
    with warnings.catch_warnings():
        # Half of Optuna's samplers are marked as experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = _guided(seed, clues) if factory is _guided else factory(seed)
    if not isinstance(sampler, BaseSampler):
        raise UserError(f"the sampler plugin '{name}' made a {type(sampler).__name__}, no sampler")
    return sampler


def hush_optuna() -> None:
    """Optuna reports every trial on stderr; the search shows its own progress."""
    optuna.logging.set_verbosity(logging.WARNING)
