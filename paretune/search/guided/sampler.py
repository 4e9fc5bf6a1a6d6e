"""A sampler for compression policies: many categorical parameters, two to four objectives."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study
from optuna.trial import FrozenTrial
from threadpoolctl import ThreadpoolController

from paretune.search.guided.clue import Clues
from paretune.search.guided.knowledge import Knowledge
from paretune.search.guided.proposing import Planner

FIRST = 8
"""Trials at random, where nobody has given any, before there is something to learn from."""

MOST_AHEAD = 32
"""Policies that are planned at a time, once there are so many trials that one teaches little."""


@cache
def _threads() -> ThreadpoolController:
    """Matrices of a few hundred rows take longer on several threads than on one."""
    return ThreadpoolController()


class GuidedSampler(BaseSampler):
    """Learns what each choice does, alone and beside its neighbours, and searches that exactly.

    Parameters are taken for knobs in the order in which trials have them: neighbours interact. A
    parameter named `KIND/SITE` (`precision/conv1`) belongs to a site, and learns from others of
    its kind. Every objective, and every constraint set by `Trial.set_constraint`, is modelled by a
    Gaussian process of additive, pairwise and joint effects; candidates come from dynamic
    programming over draws of it and from neighbours of the front; the one that is expected to add
    most to the hypervolume is next, those that are running taken into account.

    Numbers are tried on a grid of at most nine values. Parameters that only some trials have are
    drawn at random.

    Args:
        seed: of the random numbers; the same study and seed give the same proposals.
        clues: figures of every value of a parameter that are known before any trial and may tell
            something of the objectives: `{"work": {"precision/conv1": [1.0, 0.5]}}`. How much they
            tell is learned. Clues named `FAMILY/DETAIL` learn from others of their family.
    """

    def __init__(self, seed: int | None = None, clues: Clues | None = None) -> None:
        self._clues = clues
        self._rng = np.random.default_rng(seed)
        self._independent = RandomSampler(seed)
        self._space = IntersectionSearchSpace()
        self._key: object = None
        self._knowledge: Knowledge | None = None
        self._planner: Planner | None = None
        self._ahead: list[dict[str, Any]] = []

    def reseed_rng(self) -> None:
        """For a copy in another process, which must not draw the same."""
        self._rng = np.random.default_rng()
        self._independent.reseed_rng()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """What all trials have, in the order in which the latest one has it."""
        common = self._space.calculate(study)
        if not common:
            return {}
        trials = reversed(study.get_trials(deepcopy=False))
        latest = next(one for one in trials if common.keys() <= one.params.keys())
        return {
            name: common[name]
            for name in latest.distributions
            if name in common and not common[name].single()
        }

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The next policy."""
        if not search_space:
            return {}
        knowledge = self._known(study, search_space)
        if self._ahead:
            return self._ahead.pop(0)
        facts = knowledge.facts(study, trial.number)
        if facts.measured.sum() < FIRST:
            sizes = np.array(facts.structure.sizes)
            return self._params(knowledge, self._rng.integers(sizes))
        assert self._planner is not None
        # Of many that are running, one more result teaches little, too.
        count = min(max(1, len(facts.x) // 30, len(facts.running) // 3), MOST_AHEAD)
        with _threads().limit(limits=1, user_api="blas"):
            rows = self._planner.propose(facts, count)
        if not len(rows):
            rows = self._rng.integers(np.array(facts.structure.sizes))[None]
        self._ahead = [self._params(knowledge, row) for row in rows]
        return self._ahead.pop(0)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A parameter that not all trials have, at random."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def _known(self, study: Study, space: Mapping[str, BaseDistribution]) -> Knowledge:
        key = (id(study._storage), study._study_id, tuple(space.items()))
        if self._knowledge is None or key != self._key:
            self._key, self._ahead = key, []
            self._knowledge = Knowledge(space, self._clues)
            structure = self._knowledge.structure
            self._planner = Planner(structure, self._rng)
        return self._knowledge

    @staticmethod
    def _params(knowledge: Knowledge, row: np.ndarray) -> dict[str, Any]:
        named = zip(knowledge.levels.items(), row, strict=True)
        return {name: levels.values[index] for (name, levels), index in named}
