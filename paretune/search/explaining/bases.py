"""The policies that effects are averaged over: those of the front, and like them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from paretune.search.front import front
from paretune.search.info import StudyInfo
from paretune.search.trial import Trial

COUNT = 8
"""Policies to average over: each of them costs as much time as the others."""


def bases(info: StudyInfo, trials: Sequence[Trial]) -> tuple[list[Trial], str]:
    """The front, evenly thinned if it is long; where it is short, those behind it too.

    Args:
        trials: measured, at least one.

    Returns:
        the trials, and what they are in words.
    """
    left = [trial for trial in trials if trial.feasible]
    what = ""
    if not left:
        left = [replace(trial, violations=()) for trial in trials]
        what = ", though all violate a constraint"
    members = front(left, info.objectives)
    if len(members) >= COUNT:
        of = f" (out of {len(members)})" if len(members) > COUNT else ""
        return _thinned(members, COUNT), f"{COUNT} policies of the front{of}{what}"
    behind: list[Trial] = []
    while len(members) + len(behind) < COUNT and (left := _without(left, [*members, *behind])):
        # What was measured on a part of the split only is good enough to stand for others.
        rest = front(left, info.objectives, partial=True)
        behind += _thinned(rest, COUNT - len(members) - len(behind))
    found = [*members, *behind]
    return found, (
        f"{len(found)} {'policy' if len(found) == 1 else 'policies'}: the front ({len(members)})"
        f" and the best behind it ({len(behind)}){what}"
    )


def _thinned(trials: Sequence[Trial], most: int) -> list[Trial]:
    """At most so many, evenly taken and with both ends."""
    places = np.linspace(0, len(trials) - 1, min(len(trials), most)).astype(int)
    return [trials[place] for place in places]


def _without(trials: Sequence[Trial], found: Sequence[Trial]) -> list[Trial]:
    numbers = {trial.number for trial in found}
    return [trial for trial in trials if trial.number not in numbers]
