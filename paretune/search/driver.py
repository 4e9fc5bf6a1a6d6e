"""The driver: ask, build, measure, record, tell, until the budget is spent."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from optuna.samplers import BaseSampler

from paretune.errors import UserError
from paretune.search.archive import worst_point
from paretune.search.attempt import Bench, attempt
from paretune.search.budget import Budget
from paretune.search.comparing import ComparingBench
from paretune.search.confirm import confirm
from paretune.search.interrupt import Interrupt
from paretune.search.listener import Listener, Phase
from paretune.search.proposer import Proposal, Proposer
from paretune.search.racing import may_race
from paretune.search.seeds import seed_policies
from paretune.search.store import StudyStore
from paretune.search.tally import Tally
from paretune.search.trial import Trial, TrialStatus
from paretune.search.unseen import unseen_policy

SCRATCH = "scratch"
"""Folder in the study's for artifacts that live as long as their trial."""

MAX_REPEATS = 50
"""A sampler that proposes nothing new so many times is given a random policy instead."""

MAX_SAME_FAILURES = 20
"""When the first candidates all fail in one and the same way, it is not the candidates."""


@dataclass(frozen=True)
class Outcome:
    """How a run of the driver ended.

    Attributes:
        reason: why the search phase ended.
        interrupted: the user ended it before the budget was spent.
    """

    reason: str
    interrupted: bool


class Driver:
    """Runs a study, from wherever its store stands."""

    def __init__(
        self,
        bench: Bench,
        store: StudyStore,
        sampler: BaseSampler,
        budget: Budget,
        *,
        listeners: Sequence[Listener] = (),
        seed: int = 0,
        racing: bool = True,
    ) -> None:
        """
        Args:
            store: open for writing.
            sampler: fresh; it is told of the store's trials.
            seed: of the random policies that help a sampler out.
            racing: whether trials may end early, see `paretune.search.racing`.
        """
        self._bench = ComparingBench(bench, store.trials())
        self._racing = racing and may_race(bench.info)
        self._store = store
        self._listeners = listeners
        earlier = store.searched_trials()
        self._rng = np.random.default_rng([seed, len(earlier)])
        self._tally = Tally(bench.info, bench.space.size, budget, earlier)
        self._proposer = Proposer(bench.space, bench.info, sampler)
        self._proposer.resume(earlier, store.sampler_attrs())
        self._scratch = store.folder / SCRATCH
        self._path = self._scratch / "candidate.onnx"

    def run(self, reference: Trial | None = None, interrupt: Interrupt | None = None) -> Outcome:
        """Search, confirm the front, test it.

        Args:
            reference: the fp32 model's trial, measured but not recorded yet.
            interrupt: entered by the caller; ends the search phase when requested.

        Raises:
            UserError: the first candidates all fail in the same way, or what is measured now cannot
                be compared with the study.
        """
        interrupt = interrupt or Interrupt(lambda: None)
        self._scratch.mkdir(exist_ok=True)
        for listener in self._listeners:
            listener.on_start(self._store)
        self._enter(Phase.SEARCH)
        try:
            reason = self._search(reference, interrupt)
            confirm(self._bench, self._store, self._path, self._tally.time_over, self._report)
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)
        for listener in self._listeners:
            listener.on_end(self._tally.snapshot(Phase.TEST))
        return Outcome(reason, interrupt.requested)

    def _search(self, reference: Trial | None, interrupt: Interrupt) -> str:
        if reference is not None:
            self._bench.learn(reference)
            self._finish(self._proposer.ask_for(reference.policy), reference)
        waiting = [p for p in seed_policies(self._bench.space) if p not in self._tally.known]
        while not (reason := self._over(interrupt)):
            if not waiting:
                self._fix_hypervolume()
            # Fronts are compared with the seeds: they are measured in full.
            rivals = self._tally.archive.members if self._racing and not waiting else None
            proposal = self._proposer.ask_for(waiting.pop(0)) if waiting else self._propose()
            if proposal is None:
                return "there is no other policy in the space"
            trial = attempt(self._bench, proposal.policy, self._path, rivals)
            self._bench.require_met()
            self._finish(proposal, trial)
            self._check_failures()
        if not waiting:
            self._fix_hypervolume()
        return reason

    def _over(self, interrupt: Interrupt) -> str:
        return "interrupted" if interrupt.requested else self._tally.search_over()

    def _propose(self) -> Proposal | None:
        for _ in range(MAX_REPEATS):
            proposal = self._proposer.ask()
            known = self._tally.known.get(proposal.policy)
            if known is None:
                return proposal
            self._proposer.tell(proposal, known)
        policy = unseen_policy(self._bench.space, self._tally.known, self._rng)
        return None if policy is None else self._proposer.ask_for(policy)

    def _finish(self, proposal: Proposal, trial: Trial) -> None:
        recorded = self._store.record(trial, self._proposer.notes(proposal))
        self._proposer.tell(proposal, recorded)
        self._tally.add(recorded)
        snapshot = self._tally.snapshot(Phase.SEARCH)
        for listener in self._listeners:
            listener.on_trial(recorded, snapshot)

    def _fix_hypervolume(self) -> None:
        """The hypervolume counts up to the worst figures that the seed policies have."""
        if self._tally.archive.hypervolume is not None:
            return
        point = self._store.hypervolume_reference
        if point is None:
            seeds = seed_policies(self._bench.space)
            trials = [self._tally.known[seed] for seed in seeds if seed in self._tally.known]
            point = worst_point(trials, self._bench.info.objectives)
            self._store.set_hypervolume_reference(point)
        self._tally.archive.set_reference(point)

    def _check_failures(self) -> None:
        if len(self._tally.known) != MAX_SAME_FAILURES + 1:
            return
        _, *candidates = self._tally.known.values()
        reasons = {trial.reason for trial in candidates if trial.status is TrialStatus.FAILED}
        if len(reasons) == 1 and all(t.status is TrialStatus.FAILED for t in candidates):
            raise UserError(
                f"the first {MAX_SAME_FAILURES} candidates all failed in the same way:"
                f" {reasons.pop()}"
            )

    def _enter(self, phase: Phase, total: int = 0) -> None:
        snapshot = self._tally.snapshot(phase, total=total)
        for listener in self._listeners:
            listener.on_phase(snapshot)

    def _report(self, phase: Phase, trial: Trial | None, done: int, total: int) -> None:
        if trial is None:
            self._enter(phase, total)
            return
        snapshot = self._tally.snapshot(phase, done, total)
        for listener in self._listeners:
            listener.on_trial(trial, snapshot)
