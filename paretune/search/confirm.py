"""Confirming the front: its members won noisy comparisons, so they are measured again."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from paretune.errors import CandidateError, Infeasible, TransientError
from paretune.evaluators import SplitName
from paretune.search.attempt import Bench, measure_again
from paretune.search.info import StudyInfo
from paretune.search.landmark import landmarks
from paretune.search.listener import Phase
from paretune.search.store import StudyStore
from paretune.search.trial import Trial
from paretune.search.view import all_members

Report = Callable[[Phase, Trial | None, int, int], None]
"""Is told the phase, the trial measured just now (None at its begin), and how many of how many."""

_log = logging.getLogger(__name__)


def confirm(
    bench: Bench, store: StudyStore, path: Path, time_over: Callable[[], bool], report: Report
) -> None:
    """Measure the front again until all its members are confirmed; then each once on `test`.

    A confirmed figure may take a member off the front and bring up trials that it had dominated;
    they are confirmed in turn, as long as there is time. So are the landmarks, which the front is
    compared with. What was confirmed or tested before is not measured again.

    Args:
        path: scratch file for the artifacts.
        time_over: whether the budget is spent; the first front is confirmed all the same.
    """
    unmeasurable: set[int] = set()
    first = {trial.number for trial in final_members(bench.info, store.trials())}
    done = 0
    while True:
        trials = store.trials()
        pending = [
            trial
            for trial in final_members(bench.info, trials)
            if not trial.confirmed
            and trial.number not in unmeasurable
            and (trial.number in first or not time_over())
        ]
        if done == 0 and pending:
            report(Phase.CONFIRM, None, 0, len(pending))
        if not pending:
            break
        member = pending[0]
        if _measure(bench, store, member, "search", path):
            done += 1
            report(Phase.CONFIRM, member, done, done + len(pending) - 1)
        else:
            unmeasurable.add(member.number)
    members = final_members(bench.info, store.trials())
    untested = [trial for trial in members if trial.confirmed and not trial.test]
    if untested:
        report(Phase.TEST, None, 0, len(untested))
    for count, member in enumerate(untested, 1):
        _measure(bench, store, member, "test", path)
        report(Phase.TEST, member, count, len(untested))


def final_members(info: StudyInfo, trials: Sequence[Trial]) -> list[Trial]:
    """The members of all fronts, and the landmarks that are on none."""
    members = {trial.number: trial for trial in all_members(info, trials)}
    members |= {trial.number: trial for trial in landmarks(trials).values()}
    return list(members.values())


def _measure(bench: Bench, store: StudyStore, member: Trial, split: SplitName, path: Path) -> bool:
    try:
        measured = measure_again(bench, member.policy, split, path)
    except (Infeasible, CandidateError, TransientError) as error:
        _log.warning("trial %d cannot be measured again: %s", member.number, error)
        return False
    write = store.set_confirmed if split == "search" else store.set_test
    write(member.number, measured)
    return True
