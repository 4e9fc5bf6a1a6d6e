"""The proposer: asks a sampler for policies and tells it what became of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseGASampler, BaseSampler, QMCSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from paretune.evaluators import Measurement
from paretune.search.constraint import violations
from paretune.search.info import StudyInfo
from paretune.search.samplers import hush_optuna
from paretune.search.trial import Trial, TrialStatus
from paretune.spaces import Policy, Space

# A sampler that knows constraints keeps away from what cannot be built at all.
_INFEASIBLE = {"feasible": 1.0}


class _Shared(BaseDistribution):
    """One that all trials share: Optuna copies and compares those of each trial, over and over."""

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __eq__(self, other: object) -> bool:
        return self is other or super().__eq__(other)

    __hash__ = BaseDistribution.__hash__


class _Categorical(_Shared, CategoricalDistribution):
    pass


class _Ordinal(_Shared, IntDistribution):
    pass


@dataclass(frozen=True)
class Proposal:
    """A policy that waits for its result.

    Attributes:
        policy: to try.
        pending: Optuna's trial.
    """

    policy: Policy
    pending: optuna.Trial


class Proposer:
    """Samples in an Optuna study that lives in memory: there a parameter costs microseconds.

    A knob is a parameter whose value is the index of an option.
    """

    def __init__(self, space: Space, info: StudyInfo, sampler: BaseSampler) -> None:
        hush_optuna()
        self._space = space
        self._info = info
        self._options = {knob.name: knob.options for knob in space.knobs}
        # A quasi-Monte Carlo sequence lives in numbers; it would sample categories at random.
        ordinal = isinstance(sampler, QMCSampler)
        self._genetic = isinstance(sampler, BaseGASampler)
        self._first: Trial | None = None
        self._distributions: dict[str, BaseDistribution] = {
            name: _Ordinal(0, len(options) - 1) if ordinal else _Categorical(range(len(options)))
            for name, options in self._options.items()
        }
        self._storage = InMemoryStorage()
        self._study = optuna.create_study(
            storage=self._storage,
            directions=[metric.direction for metric in info.objectives],
            sampler=sampler,
        )

    def resume(self, trials: Sequence[Trial], attrs: Mapping[int, Mapping[str, Any]]) -> None:
        """Tell the sampler of earlier trials.

        Args:
            attrs: trial number to what the sampler had noted on it.
        """
        study = self._storage.get_study_id_from_name(self._study.study_name)
        for trial in trials:
            # `Study.add_trial` would check each parameter three times over.
            self._storage.create_new_trial(study, self._frozen(trial, attrs.get(trial.number, {})))

    def ask(self) -> Proposal:
        """A policy that the sampler wants to know about."""
        pending = self._study.ask(self._distributions)
        settings = {name: self._options[name][index] for name, index in pending.params.items()}
        return Proposal(self._space.decode(settings), pending)

    def ask_for(self, policy: Policy) -> Proposal:
        """Announce a policy that the sampler has not chosen.

        Args:
            policy: canonical.
        """
        self._study.enqueue_trial(self._params(policy))
        pending = self._study.ask(self._distributions)
        # Genetic samplers assign the generation while they sample, which a given policy skips.
        _ = pending.relative_params
        return Proposal(policy, pending)

    def notes(self, proposal: Proposal) -> dict[str, Any]:
        """What the sampler noted on the proposal and needs again when the search is resumed."""
        frozen = self._study.get_trials(deepcopy=False)[proposal.pending.number]
        attrs = frozen.system_attrs
        return {key: value for key, value in attrs.items() if key != "fixed_params"}

    def tell(self, proposal: Proposal, trial: Trial) -> None:
        """Tell the sampler what became of a proposal."""
        for name, violation in self._constraints(trial).items():
            proposal.pending.set_constraint(name, violation)
        state, values = self._outcome(trial)
        self._study.tell(proposal.pending, values, state=state)

    def _frozen(self, trial: Trial, attrs: Mapping[str, Any]) -> FrozenTrial:
        state, values = self._outcome(trial)
        now = datetime.now()
        frozen = FrozenTrial(
            number=-1,
            trial_id=-1,
            state=state,
            value=None,
            values=values,
            datetime_start=now,
            datetime_complete=now,
            params=self._params(trial.policy),
            distributions=self._distributions,
            user_attrs={},
            system_attrs=dict(attrs),
            intermediate_values={},
        )
        # Those that were measured are among the noted attributes.
        if not trial.measurements:
            for name, violation in self._constraints(trial).items():
                frozen.set_constraint(name, violation)
        return frozen

    def _params(self, policy: Policy) -> dict[str, int]:
        settings = self._space.encode(policy)
        return {name: options.index(settings[name]) for name, options in self._options.items()}

    def _outcome(self, trial: Trial) -> tuple[TrialState, list[float] | None]:
        if trial.status is TrialStatus.COMPLETE:
            self._first = self._first or trial
            return TrialState.COMPLETE, self._values(trial.measurements)
        if trial.stopped and self._genetic and self._first is not None:
            # Genetic samplers breed from complete trials only. Broken constraints rank them below
            # all others, so that it does not matter what stands for the values that are missing.
            known = {**self._first.measurements, **trial.measurements}
            return TrialState.COMPLETE, self._values(known)
        infeasible = trial.status is TrialStatus.INFEASIBLE
        return TrialState.PRUNED if infeasible else TrialState.FAIL, None

    def _values(self, measured: Mapping[str, Measurement]) -> list[float]:
        return [measured[metric.name].value for metric in self._info.objectives]

    def _constraints(self, trial: Trial) -> dict[str, float]:
        # An infeasible trial may have broken a constraint before everything was measured.
        known = violations(self._info.constraints, trial.measurements)
        return known or (dict(_INFEASIBLE) if trial.status is TrialStatus.INFEASIBLE else {})
