"""Samplers and the proposer: what a sampler is told is what was measured."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, QMCSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from paretune.errors import UserError
from paretune.evaluators import Measurement
from paretune.search.constraint import Constraint
from paretune.search.proposer import Proposer
from paretune.search.samplers import check_sampler, make_sampler, sampler_names
from paretune.search.trial import Trial, TrialStatus
from paretune.search.unseen import all_policies
from paretune.spaces import Policy, Precision
from tests.search.fake import figures, make_info, make_space

NAMES = ["guided", "nsga2", "nsga3", "tpe", "gp", "random", "qmc", "brute"]


class Witness(RandomSampler):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(seed=0)
        self.told: list[tuple[FrozenTrial, TrialState, Sequence[float] | None]] = []

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        self.told.append((trial, state, values))


def complete(policy: Policy) -> Trial:
    return Trial(0, TrialStatus.COMPLETE, policy, figures(policy))


def test_all_built_in_samplers_are_known() -> None:
    assert sampler_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_sampler_proposes_policies_of_the_space(name: str) -> None:
    space, info = make_space(3), make_info((Constraint("accuracy", ">=", 0.9),))
    proposer = Proposer(space, info, make_sampler(name, 0))
    policies = set()
    # The Gaussian process takes a second a trial once it has ten.
    for _ in range(11 if name == "gp" else 20):
        proposal = proposer.ask()
        assert space.canonical(proposal.policy) == proposal.policy
        policies.add(proposal.policy)
        proposer.tell(proposal, complete(proposal.policy))
    assert len(policies) > 4


@pytest.mark.parametrize("name", ["nsga2", "tpe", "random", "qmc", "brute"])
def test_the_seed_decides(name: str) -> None:
    def policies(seed: int) -> list[Policy]:
        proposer = Proposer(make_space(6), make_info(), make_sampler(name, seed))
        found = []
        for _ in range(15):
            proposal = proposer.ask()
            found.append(proposal.policy)
            proposer.tell(proposal, complete(proposal.policy))
        return found

    assert policies(1) == policies(1)
    assert policies(1) != policies(2)


def test_an_unknown_sampler_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="search.sampler: unknown sampler 'tpee'; nearest is 'tpe'"):
        check_sampler("tpee")


def test_qmc_samples_a_sequence_not_at_random() -> None:
    """Of any 27 successive points of a scrambled Sobol sequence, few fall together."""
    space = make_space(3, grouped=False, sparsity=())
    proposer = Proposer(space, make_info(), make_sampler("qmc", 0))
    counts: dict[str, int] = {}
    for _ in range(65):
        proposal = proposer.ask()
        first = str(proposal.policy.items[0][1])
        counts[first] = counts.get(first, 0) + 1
        proposer.tell(proposal, complete(proposal.policy))
    # The first point is at random; the other 64 split evenly into thirds of the unit interval.
    assert max(counts.values()) - min(counts.values()) <= 3
    assert isinstance(make_sampler("qmc", 0), QMCSampler)


def test_results_reach_the_sampler_with_their_violations() -> None:
    info = make_info((Constraint("latency_ms", "<=", 2.0),))
    witness = Witness()
    proposer = Proposer(make_space(), info, witness)
    trial = complete(proposer.ask_for(make_space().uniform(Precision.FP32)).policy)
    proposal = proposer.ask_for(trial.policy)
    proposer.tell(proposal, trial)
    _, state, values = witness.told[-1]
    assert values is not None
    assert state is TrialState.COMPLETE
    assert values == [trial.measurements["accuracy"].value, trial.measurements["latency_ms"].value]
    study = proposal.pending.study
    assert study.trials[-1].constraints == {"latency_ms <= 2": values[1] - 2.0}


def test_infeasible_and_failed_trials_reach_the_sampler() -> None:
    witness = Witness()
    proposer = Proposer(make_space(), make_info(), witness)
    for status, state in (
        (TrialStatus.INFEASIBLE, TrialState.PRUNED),
        (TrialStatus.FAILED, TrialState.FAIL),
    ):
        proposal = proposer.ask()
        proposer.tell(proposal, Trial(0, status, proposal.policy, reason="no"))
        assert witness.told[-1][1:] == (state, None)
        broken = proposal.pending.study.trials[-1].constraints
        assert any(value > 0 for value in broken.values()) == (state is TrialState.PRUNED)


@pytest.mark.parametrize("name", ["nsga2", "random"])
def test_a_constraint_broken_early_reaches_the_sampler(name: str) -> None:
    space, info = make_space(), make_info((Constraint("accuracy", ">=", 0.9),))
    proposer = Proposer(space, info, make_sampler(name, 0))
    fp32 = complete(space.uniform(Precision.FP32))
    proposer.tell(proposer.ask_for(fp32.policy), fp32)
    proposal = proposer.ask_for(space.uniform(Precision.W4))
    low = {"accuracy": Measurement(0.75)}
    broken = Trial(1, TrialStatus.INFEASIBLE, proposal.policy, low, reason="accuracy at most 0.8")
    proposer.tell(proposal, broken)
    told = proposal.pending.study.trials[-1]
    assert told.constraints == {"accuracy >= 0.9": pytest.approx(0.15)}
    # Genetic samplers breed from complete trials only.
    if name == "nsga2":
        assert told.state is TrialState.COMPLETE
        assert told.values == [0.75, fp32.measurements["latency_ms"].value]
    else:
        assert told.state is TrialState.PRUNED
    again = Proposer(space, info, make_sampler(name, 0))
    noted = {0: {}, 1: {f"constraints:{name}": v for name, v in told.constraints.items()}}
    again.resume([fp32, broken], noted)
    assert again.ask().pending.study.trials[1].constraints == told.constraints


def test_a_given_policy_is_what_the_sampler_sees() -> None:
    space = make_space()
    proposer = Proposer(space, make_info(), NSGAIISampler(seed=0))
    policy = space.uniform(Precision.INT8, 0.5)
    proposal = proposer.ask_for(policy)
    params = proposal.pending.params
    settings = {knob.name: knob.options[params[knob.name]] for knob in space.knobs}
    assert settings == space.encode(policy)
    # Without it the seeds would not be among the parents of the first generation.
    assert proposer.notes(proposal) == {"NSGAIISampler:generation": 0}


def test_a_resumed_sampler_knows_the_earlier_trials() -> None:
    class Reader(RandomSampler):
        seen: list[FrozenTrial]

        def sample_relative(
            self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
        ) -> dict[str, Any]:
            self.seen = study.get_trials(deepcopy=False)[:-1]
            return {}

    space, reader = make_space(), Reader(seed=0)
    policies = [space.uniform(p) for p in (Precision.FP32, Precision.INT8, Precision.W4)]
    earlier = [
        complete(policies[0]),
        Trial(1, TrialStatus.INFEASIBLE, policies[1], reason="no"),
        Trial(2, TrialStatus.FAILED, policies[2], reason="no"),
    ]
    proposer = Proposer(space, make_info(), reader)
    proposer.resume([replace(t, number=i) for i, t in enumerate(earlier)], {0: {"note": 7}})
    proposer.ask()
    states = [trial.state for trial in reader.seen]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    assert reader.seen[0].system_attrs == {"note": 7}
    assert reader.seen[0].values == [
        figures(policies[0])["accuracy"].value,
        figures(policies[0])["latency_ms"].value,
    ]


def test_a_plugin_brings_a_sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    from paretune.search import samplers

    point = EntryPoint("mine", "tests.search.test_proposer:made", samplers.SAMPLERS)
    monkeypatch.setattr(samplers, "find_plugins", lambda group: {"mine": point})
    monkeypatch.setattr(samplers, "load_plugin", lambda group, name: point.load())
    assert isinstance(make_sampler("mine", 3), BaseSampler)
    wrong = EntryPoint("mine", "builtins:str", samplers.SAMPLERS)
    monkeypatch.setattr(samplers, "load_plugin", lambda group, name: wrong.load())
    with pytest.raises(UserError, match="the sampler plugin 'mine' made a str, no sampler"):
        make_sampler("mine", 3)
    taken = EntryPoint("tpe", "tests.search.test_proposer:made", samplers.SAMPLERS)
    monkeypatch.setattr(samplers, "find_plugins", lambda group: {"tpe": taken})
    with pytest.raises(UserError, match="the sampler 'tpe' of the package .* is built in already"):
        check_sampler("tpe")


def made(seed: int) -> BaseSampler:
    return optuna.samplers.RandomSampler(seed=seed)


@pytest.mark.parametrize("name", ["random", "qmc"])
def test_optuna_would_have_taken_what_is_resumed(name: str) -> None:
    """It is not asked, since it takes long."""
    space, info = make_space(), make_info((Constraint("latency_ms", "<=", 2.0),))
    first, second, *_ = all_policies(space)
    trials = [
        replace(complete(first), number=0),
        Trial(1, TrialStatus.INFEASIBLE, second, reason="no"),
        Trial(2, TrialStatus.FAILED, second, reason="broke"),
    ]
    proposer = Proposer(space, info, make_sampler(name, 0))
    proposer.resume(trials, {0: {"constraints:latency_ms <= 2": 1.5, "noted": [1]}})
    resumed = proposer.ask().pending.study.trials[:-1]
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.add_trials(resumed)
    for found, added in zip(resumed, study.trials, strict=True):
        assert found.params == added.params and len(found.params) == len(space.knobs)
        assert (found.state, found.values) == (added.state, added.values)
        assert (found.number, found.system_attrs) == (added.number, added.system_attrs)
    assert [one.state.name for one in resumed] == ["COMPLETE", "PRUNED", "FAIL"]
    assert resumed[0].system_attrs["noted"] == [1]
    assert [len(one.constraints) for one in resumed] == [1, 1, 0]
    # Trials, of which there are thousands, share them.
    shared = {id(one) for trial in resumed for one in trial.distributions.values()}
    assert len(shared) == len(space.knobs)
