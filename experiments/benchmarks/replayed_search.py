"""A search whose measurements are looked up: only the sampler takes time."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import moocore
import numpy as np
import optuna
from optuna.samplers import BaseSampler

from experiments.benchmarks.replay import (
    Floats,
    Problem,
    Settings,
    distributions,
    reference_point,
    signs,
    start,
)
from paretune.search.driver import MAX_REPEATS
from paretune.search.samplers import hush_optuna


@dataclass(frozen=True)
class Trace:
    """How a search went on, policy by policy; repeats are not counted.

    Attributes:
        share: of the true hypervolume, what the true values of the observed front's members cover:
            what a user would get. Noise that has put a bad policy on the front costs.
        found: the same of all policies so far, as if the best of them were known.
        seconds: that the sampler has taken so far, repeats included.
        finished: it was done before the time limit.
    """

    share: Floats
    found: Floats
    seconds: Floats
    finished: bool


class ReplayedSearch:
    """One study in memory, driven as `paretune.search.driver` does.

    Args:
        seed: of the noise and of the policies that help a sampler out.
    """

    def __init__(self, problem: Problem, sampler: BaseSampler, seed: int) -> None:
        hush_optuna()
        self._problem = problem
        self._rng = np.random.default_rng([seed, 1])
        self._noise_seed = seed
        self._sizes = np.array([len(knob.options) for knob in problem.knobs])
        self._space = distributions(problem)
        self._study = optuna.create_study(directions=list(problem.directions), sampler=sampler)
        self._known: dict[Settings, list[float]] = {}
        self.seconds = 0.0

    @property
    def policies(self) -> int:
        """Number of all."""
        return int(np.prod(self._sizes, dtype=float))

    def first(self) -> list[tuple[Floats, Floats]]:
        """Measure what every search begins with; see `next`."""
        return [self._finish(self._given(settings)) for settings in start(self._problem.knobs)]

    def next(self) -> tuple[Floats, Floats]:
        """Measure one more policy: what is observed, and the truth."""
        return self._finish(self._ask())

    def _ask(self) -> optuna.Trial:
        begin = time.perf_counter()
        for _ in range(MAX_REPEATS):
            trial = self._study.ask(self._space)
            known = self._known.get(self._settings(trial))
            if known is None:
                self.seconds += time.perf_counter() - begin
                return trial
            self._study.tell(trial, known)
        self.seconds += time.perf_counter() - begin
        return self._given(self._unseen())

    def _given(self, settings: Settings) -> optuna.Trial:
        names = [knob.name for knob in self._problem.knobs]
        self._study.enqueue_trial(dict(zip(names, settings, strict=True)))
        trial = self._study.ask(self._space)
        # Genetic samplers assign the generation while they sample, which a given policy skips.
        _ = trial.relative_params
        return trial

    def _finish(self, trial: optuna.Trial) -> tuple[Floats, Floats]:
        settings = self._settings(trial)
        rng = np.random.default_rng([self._noise_seed, *settings])
        observed = self._problem.observe(settings, rng)
        self._known[settings] = observed.tolist()
        begin = time.perf_counter()
        self._study.tell(trial, self._known[settings])
        self.seconds += time.perf_counter() - begin
        return observed, self._problem.truth(settings)

    def _settings(self, trial: optuna.Trial) -> Settings:
        return tuple(int(trial.params[knob.name]) for knob in self._problem.knobs)

    def _unseen(self) -> Settings:
        """A random policy that was not measured yet; there is one."""
        while True:
            settings = tuple(map(int, self._rng.integers(self._sizes)))
            if settings not in self._known:
                return settings


def trace(
    problem: Problem, sampler: BaseSampler, seed: int, trials: int, limit: float = np.inf
) -> Trace:
    """Search until so many policies, or all, are measured, or the sampler has had its time.

    Args:
        seed: of the noise.
        limit: seconds of the sampler.
    """
    search = ReplayedSearch(problem, sampler, seed)
    trials = min(trials, search.policies)
    sign, reference = signs(problem), reference_point(problem)
    observed, everything = (_Covered(reference) for _ in range(2))
    whole = float(moocore.hypervolume(problem.front * sign, ref=reference))
    shares: list[tuple[float, float, float]] = []

    def note(measured: Sequence[tuple[Floats, Floats]]) -> None:
        for seen, true in measured:
            observed.add(seen * sign, true * sign)
            everything.add(true * sign, true * sign)
            shares.append((observed.volume / whole, everything.volume / whole, search.seconds))

    note(search.first()[:trials])
    while len(shares) < trials and search.seconds < limit:
        note([search.next()])
    share, found, seconds = np.array(shares).T
    return Trace(share, found, seconds, len(shares) >= trials)


class _Covered:
    """The true hypervolume of a front that one sees by other values."""

    def __init__(self, reference: Floats) -> None:
        self._reference = reference
        self._seen = np.empty((0, len(reference)))
        self._true = self._seen
        self.volume = 0.0

    def add(self, seen: Floats, true: Floats) -> None:
        """Take in a policy, unless one that is as good in everything is there; less is better."""
        if np.any(np.all(self._seen <= seen, axis=1)):
            return
        kept = ~np.all(seen <= self._seen, axis=1)
        self._seen = np.vstack([self._seen[kept], seen])
        self._true = np.vstack([self._true[kept], true])
        self.volume = float(moocore.hypervolume(self._true, ref=self._reference))
