"""The driver: ask, build, measure, record, tell, until the budget is spent."""

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from optuna.samplers import BaseSampler

from paretune.errors import OutOfTime, UserError
from paretune.search.archive import worst_point
from paretune.search.attempt import Job
from paretune.search.bench import Bench
from paretune.search.budget import TIME_IS_UP, Budget
from paretune.search.comparing import ComparingBench
from paretune.search.confirm import confirm
from paretune.search.crew import Crew, Solo
from paretune.search.interrupt import Interrupt
from paretune.search.listener import Listener, Phase
from paretune.search.proposer import Proposal, Proposer
from paretune.search.racing import may_race
from paretune.search.seeds import seed_policies
from paretune.search.store import StudyStore
from paretune.search.tally import Tally, duration
from paretune.search.trial import Trial
from paretune.search.unseen import unseen_policy
from paretune.spaces import Policy

SCRATCH = "scratch"
"""Folder in the study's for artifacts that live as long as their trial."""

MAX_REPEATS = 50
"""A sampler that proposes nothing new so many times is given a random policy instead."""

MAX_FAILURES = 20
"""When so many candidates, and all seeds, cannot be measured, there is no point in going on."""

SHOWN_REASONS = 5


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
        crew: Crew | None = None,
        test_seconds: Callable[[Trial], float] = duration,
    ) -> None:
        """
        Args:
            store: open for writing.
            sampler: fresh; it is told of the store's trials.
            seed: of the random policies that help a sampler out.
            racing: whether trials may end early, see `paretune.search.racing`.
            crew: attempts the policies; by default one after the other, on the bench.
            test_seconds: how long measuring a trial on the test split may take.
        """
        self._bench = ComparingBench(bench, store.trials())
        self._racing = racing and may_race(bench.info)
        self._store = store
        self._listeners = listeners
        earlier = store.searched_trials()
        self._rng = np.random.default_rng([seed, len(earlier)])
        self._tally = Tally(bench.info, bench.space.size, budget, earlier, test_seconds)
        self._tally.settle(store.trials())
        self._proposer = Proposer(bench.space, bench.info, sampler)
        self._proposer.resume(earlier, store.sampler_attrs())
        self._running: dict[Policy, list[Proposal]] = {}
        self._seeds: set[Policy] = set()
        self._searching = True
        self._scratch = store.folder / SCRATCH
        self._path = self._scratch / "candidate.onnx"
        self._crew = crew or Solo(self._bench, self._path)

    def run(self, reference: Trial | None = None, interrupt: Interrupt | None = None) -> Outcome:
        """Search, confirm the front, test it; and again, while there is time left for a trial.

        Args:
            reference: the fp32 model's trial, measured but not recorded yet.
            interrupt: entered by the caller; ends the search phase when requested.

        Raises:
            UserError: no candidate can be measured, or what is measured now cannot
                be compared with the study.
        """
        interrupt = interrupt or Interrupt(lambda: None)
        self._scratch.mkdir(exist_ok=True)
        for listener in self._listeners:
            listener.on_start(self._store)
        try:
            reason = self._search(reference, interrupt)
            self._confirm()
            # Nobody knows before how long the end takes, so some time is left over. It is not where
            # something had to be given up, which may still run.
            while not self._running and not self._over(interrupt):
                trials = len(self._tally.known)
                reason = self._search(None, interrupt)
                if len(self._tally.known) == trials:
                    break
                self._confirm()
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)
        for listener in self._listeners:
            listener.on_end(self._tally.snapshot(Phase.TEST))
        return Outcome(reason, interrupt.requested)

    def overdue(self) -> bool:
        """Whether what is under way has to be given up, so that the time budget holds."""
        return self._tally.overdue(searching=self._searching)

    def _confirm(self) -> None:
        self._searching = False
        confirm(self._bench, self._store, self._path, self._tally, self._report)
        self._tally.settle(self._store.trials())
        self._searching = True

    def _search(self, reference: Trial | None, interrupt: Interrupt) -> str:
        self._enter(Phase.SEARCH)
        seeds = seed_policies(self._bench.space)
        self._seeds = {policy for policy in seeds if policy not in self._tally.known}
        if reference is not None:
            self._bench.learn(reference)
            self._tally.charge(reference.duration)
            self._running[reference.policy] = [self._proposer.ask_for(reference.policy)]
            self._finish(reference)
        waiting = [policy for policy in seeds if policy in self._seeds]
        self._fix_hypervolume()
        reason = ""
        while True:
            while self._crew.free and not (reason := reason or self._over(interrupt)):
                if not self._begin(waiting):
                    reason = "there is no other policy in the space"
            # A crew may have nobody yet.
            if not self._running and (reason := reason or self._over(interrupt)):
                return reason
            try:
                ended = self._crew.ended()
            except OutOfTime:
                ended = ()
            for trial in ended:
                compared = self._bench.checked(trial)
                self._bench.require_met()
                self._finish(compared)
                self._check_failures()
            if self.overdue():
                return reason or TIME_IS_UP

    def _over(self, interrupt: Interrupt) -> str:
        return "interrupted" if interrupt.requested else self._tally.search_over(len(self._running))

    def _begin(self, waiting: list[Policy]) -> bool:
        """Start a job, if there is one left.

        Args:
            waiting: what comes before all proposals; the first one is taken out.
        """
        proposal = self._proposer.ask_for(waiting.pop(0)) if waiting else self._propose()
        if proposal is None:
            return False
        self._running[proposal.policy] = [proposal]
        # Fronts are compared with the seeds: they are measured in full.
        rivals = self._tally.archive.members if self._racing and not self._seeds else None
        self._crew.start(Job(proposal.policy, rivals=rivals))
        return True

    def _propose(self) -> Proposal | None:
        for _ in range(MAX_REPEATS):
            proposal = self._proposer.ask()
            known = self._tally.known.get(proposal.policy)
            if known is not None:
                self._proposer.tell(proposal, known)
            elif proposal.policy in self._running:
                self._running[proposal.policy].append(proposal)
            else:
                return proposal
        seen = {*self._tally.known, *self._running}
        policy = unseen_policy(self._bench.space, seen, self._rng)
        return None if policy is None else self._proposer.ask_for(policy)

    def _finish(self, trial: Trial) -> None:
        proposals = self._running.pop(trial.policy)
        timed = replace(trial, spent=self._tally.seconds)
        recorded = self._store.record(timed, self._proposer.notes(proposals[0]))
        for proposal in proposals:
            self._proposer.tell(proposal, recorded)
        self._tally.add(recorded)
        self._seeds.discard(trial.policy)
        self._fix_hypervolume()
        snapshot = self._tally.snapshot(Phase.SEARCH)
        for listener in self._listeners:
            listener.on_trial(recorded, snapshot)

    def _fix_hypervolume(self) -> None:
        """The hypervolume counts up to the worst figures that the seed policies have."""
        if self._seeds or self._tally.archive.hypervolume is not None:
            return
        point = self._store.hypervolume_reference
        if point is None:
            seeds = seed_policies(self._bench.space)
            trials = [self._tally.known[seed] for seed in seeds if seed in self._tally.known]
            point = worst_point(trials, self._bench.info.objectives)
            self._store.set_hypervolume_reference(point)
        self._tally.archive.set_reference(point)

    def _check_failures(self) -> None:
        """End a search in which nothing but fp32 can be measured."""
        tried = len(self._tally.known) - 1
        if self._tally.measured > 1 or self._seeds or tried < MAX_FAILURES:
            return
        reasons = Counter(t.reason for t in self._tally.known.values() if not t.measurements)
        shown = [f"  {count} × {reason}" for reason, count in reasons.most_common(SHOWN_REASONS)]
        if rest := len(reasons) - len(shown):
            shown.append(f"  and {rest} other reasons")
        raise UserError(
            f"none of the first {tried} candidates could be measured, so the search ends:\n"
            + "\n".join(shown)
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
