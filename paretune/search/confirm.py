"""Confirming the front: its members won noisy comparisons, so they are measured again."""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import moocore
import numpy as np

from paretune.errors import CandidateError, Infeasible, OutOfTime, TransientError
from paretune.evaluators import SplitName
from paretune.evaluators.pooling import pool, repeatable
from paretune.search.attempt import measure_again
from paretune.search.bench import Bench
from paretune.search.board import points
from paretune.search.contest import Contest
from paretune.search.front import front
from paretune.search.info import StudyInfo
from paretune.search.landmark import landmarks
from paretune.search.listener import Phase
from paretune.search.store import StudyStore
from paretune.search.trial import Trial
from paretune.search.undecided import undecided
from paretune.search.view import all_members

Report = Callable[[Phase, Trial | None, int, int], None]
"""Is told the phase, the trial measured just now (None at its begin), and how many of how many."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Step:
    """A measurement to be taken: of everything, or once more of some metrics."""

    trial: Trial
    only: frozenset[str] | None = None


class Clock(Protocol):
    """Knows how long measurements take, and how much time is left; see `Tally`."""

    def fits(self, search: int = 0, test: int = 0) -> bool: ...
    def took(self, split: SplitName, seconds: float) -> None: ...


def confirm(bench: Bench, store: StudyStore, path: Path, clock: Clock, report: Report) -> None:
    """Measure the front again until all its members are confirmed; then each once on `test`.

    A confirmed figure may take a member off the front and bring up trials that it had dominated;
    they are confirmed in turn, as long as there is time. So are the landmarks, which the front is
    compared with. What time is left goes where the order is undecided: to trials that a member
    dominates only within the noise, which are confirmed too, and to members whose order more
    samples may settle, whose figures are pooled. What was confirmed or tested before, and
    cannot come out differently, is not measured again.

    Args:
        path: scratch file for the artifacts.
        clock: what does not fit in its time is not begun; what matters most comes first. Beyond
            the front that the search found, time to test all members is kept.
    """
    again = _Again(bench, store, path, clock)
    with suppress(OutOfTime):
        _confirm(again, clock, report)
        _test(again, clock, report)


def left_over(info: StudyInfo, trials: Sequence[Trial]) -> str:
    """What of the front there was no time for, or empty."""
    members = final_members(info, trials)
    counts = {
        "confirmed": sum(not member.confirmed for member in members),
        "tested": sum(not member.test for member in members),
    }
    parts = [f"{count} of {len(members)} are not {done}" for done, count in counts.items() if count]
    if not parts:
        return ""
    return f"Of the front and what it is compared with, {', '.join(parts)}."


class _Again:
    """Measures trials again, and knows who is on the fronts by what it found.

    Attributes:
        info: what the study is about.
        contest: with all figures so far.
        most: trials to be confirmed, in all runs together.
    """

    def __init__(self, bench: Bench, store: StudyStore, path: Path, clock: Clock) -> None:
        self.info = bench.info
        self.contest = Contest(bench.info, store.trials())
        # At most as many again as the search had found.
        searched = front(store.searched_trials(), bench.info.objectives)
        self.most = 2 * len(searched) + len(self.contest.landmarks)
        self._bench = bench
        self._store = store
        self._path = path
        self._clock = clock

    def ahead(self, steps: Sequence[_Step], split: SplitName) -> None:
        """These are expected to come next."""
        self._bench.ahead([step.trial.policy for step in steps if step.only is None], split)

    def __call__(self, step: _Step, split: SplitName) -> bool:
        """Measure and write; returns whether it could be measured."""
        trial = step.trial
        begin = time.monotonic()
        try:
            measured = measure_again(self._bench, trial.policy, split, self._path, step.only)
        except (Infeasible, CandidateError, TransientError) as error:
            _log.warning("trial %d cannot be measured again: %s", trial.number, error)
            return False
        self._clock.took(split, time.monotonic() - begin)
        if step.only is not None:
            measured = dict(trial.confirmed) | {
                name: new if repeatable(new) else pool(trial.confirmed[name], new)
                for name, new in measured.items()
            }
        write = self._store.set_confirmed if split == "search" else self._store.set_test
        self.contest.update(write(trial.number, measured))
        return True


def _confirm(again: _Again, clock: Clock, report: Report) -> None:
    failed: set[int] = set()
    first = _by_worth(again.info, again.contest)
    done = 0
    while clock.fits(search=1):
        members = again.contest.members()
        room = clock.fits(search=1, test=sum(not member.test for member in members))
        pending = [
            _Step(member)
            for member in sorted(members, key=lambda member: first.get(member.number, len(first)))
            if not member.confirmed
            and member.number not in failed
            and (member.number in first or room)
        ]
        if not pending and room:
            pending = _doubtful(again, members, failed)
        if done == 0 and pending:
            report(Phase.CONFIRM, None, 0, len(pending))
        if not pending:
            break
        again.ahead(pending, "search")
        step = pending[0]
        if again(step, "search"):
            done += 1
            report(Phase.CONFIRM, step.trial, done, done + len(pending) - 1)
        else:
            failed.add(step.trial.number)


def _test(again: _Again, clock: Clock, report: Report) -> None:
    place = _by_worth(again.info, again.contest)
    members = sorted(again.contest.members(), key=lambda member: place[member.number])
    untested = [trial for trial in members if trial.confirmed and not trial.test]
    if untested:
        report(Phase.TEST, None, 0, len(untested))
    for count, member in enumerate(untested, 1):
        if not clock.fits(test=1):
            break
        again.ahead([_Step(one) for one in untested[count - 1 :]], "test")
        again(_Step(member), "test")
        report(Phase.TEST, member, count, len(untested))


def _by_worth(info: StudyInfo, contest: Contest) -> dict[int, int]:
    """Number of each final member to its place in the order of worth.

    First come the landmarks, then those without which the front would lose the most volume.
    """
    members = contest.members()
    marks = {trial.number for trial in contest.landmarks}
    costs = points(members, info.objectives)
    if not members:
        return {}
    span = np.ptp(costs, axis=0)
    volumes = moocore.hv_contributions(costs, ref=costs.max(axis=0) + np.where(span > 0, span, 1))
    order = sorted(
        zip(members, volumes, strict=True), key=lambda m: (m[0].number not in marks, -m[1])
    )
    return {member.number: place for place, (member, _) in enumerate(order)}


def final_members(info: StudyInfo, trials: Sequence[Trial]) -> list[Trial]:
    """The members of all fronts, and the landmarks that are on none.

    So are trials that would be members if what was measured on a part of the split were all.
    """
    members = {trial.number: trial for trial in all_members(info, trials)}
    members |= {trial.number: trial for trial in all_members(info, trials, partial=True)}
    members |= {trial.number: trial for trial in landmarks(trials).values()}
    return list(members.values())


def _doubtful(again: _Again, members: Sequence[Trial], failed: Collection[int]) -> list[_Step]:
    """Where the order is undecided, off the front and on it, wherever more is left to do."""
    left = max(0, again.most - again.contest.confirmed)
    unlucky = again.contest.overlooked() if left else ()
    outside = [_Step(trial) for trial in unlucky if trial.number not in failed][:left]
    confirmed = [t for t in members if t.confirmed and t.number not in failed]
    inside = [_Step(doubt.trial, doubt.metrics) for doubt in undecided(again.info, confirmed)]
    return outside + inside if len(outside) >= len(inside) else inside + outside
