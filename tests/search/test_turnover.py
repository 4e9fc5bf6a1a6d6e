"""What becomes of the front between the search, its confirmation and the test split."""

from collections.abc import Mapping
from dataclasses import replace

from paretune.evaluators import Measurement
from paretune.search.front import front
from paretune.search.turnover import turnover
from tests.search.synthetic import make_info, make_trials

INFO = make_info()


def slow(measured: Mapping[str, Measurement]) -> dict[str, Measurement]:
    """The figures with a latency that is far off."""
    return {**measured, "latency_ms": replace(measured["latency_ms"], value=99.0)}


def test_nothing_is_told_before_anything_is_confirmed() -> None:
    assert str(turnover(INFO, make_trials(40, confirm=False))) == ""
    assert str(turnover(INFO, [])) == ""


def test_members_are_lost_and_gained() -> None:
    trials = make_trials(60)
    members = front(trials, INFO.objectives)
    lost, failed = members[2], members[4]
    changed = [
        replace(trial, confirmed=slow(trial.confirmed))
        if trial.number == lost.number
        else replace(trial, test=slow(trial.test))
        if trial.number == failed.number
        else trial
        for trial in trials
    ]
    after = front(changed, INFO.objectives)
    gained = {t.number for t in after} - {t.number for t in members}
    found = turnover(INFO, changed)
    assert found.searched == {member.number for member in members}
    assert found.searched - found.confirmed == {lost.number}
    assert found.confirmed - found.searched == gained == found.unconfirmed
    known = len(after) - len(gained)
    assert found.confirmed - found.untested - found.tested == {failed.number}
    brought = len(found.tested - found.confirmed)
    assert str(found) == (
        f"Front: {len(members)} as searched; confirming lost 1 of them and gained {len(gained)},"
        f" which makes {len(after)}. On the test split 1 of {known} are lost and {brought} gained."
    )


def test_a_constraint_that_breaks_on_the_test_split_loses_a_member() -> None:
    trials = make_trials(60)
    member = front(trials, INFO.objectives)[3]
    broken = {**member.test, "accuracy_drop": Measurement(0.2)}
    changed = [replace(t, test=broken) if t is member else t for t in trials]
    assert member.number in turnover(INFO, trials).tested
    assert member.number not in turnover(INFO, changed).tested
