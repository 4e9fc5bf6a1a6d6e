"""Budgets and durations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.durations import format_duration, parse_duration
from paretune.errors import UserError
from paretune.search.budget import Budget, parse_budget
from paretune.search.tally import Tally
from paretune.search.trial import Trial, TrialStatus
from paretune.search.unseen import all_policies
from tests.search.fake import make_info, make_space


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("8h", Budget(None, 28800.0)),
        ("500", Budget(500, None)),
        ("8h,500", Budget(500, 28800.0)),
        ("500, 90m", Budget(500, 5400.0)),
    ],
)
def test_spellings(text: str, budget: Budget) -> None:
    assert parse_budget(text) == budget


@pytest.mark.parametrize("text", ["", "0", "-5", "8x", "8h,9h", "5,6", "8h,", "1.5", "h", "8h 500"])
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="cannot read the budget .* allowed are a time such as 8h"):
        parse_budget(text)


@given(st.integers(0, 30), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_a_duration_is_the_sum_of_its_parts(days: int, hours: int, minutes: int, s: int) -> None:
    total = 86400 * days + 3600 * hours + 60 * minutes + s
    text = f"{days}d{hours}h{minutes}m{s}s"
    if total:
        assert parse_duration(text) == total
    else:
        with pytest.raises(UserError, match="cannot read the time"):
            parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (59.6, "1m"), (200, "3m 20s"), (28740, "7h 59m"), (90000, "1d 1h")],
)
def test_durations_are_shown_in_two_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_the_search_ends_when_only_the_reserve_is_left() -> None:
    budget = Budget(trials=100, seconds=60.0)
    assert budget.spent(99, 49.9, reserve=10.0) == ""
    assert budget.spent(99, 50.0, reserve=10.0) == "the time is up"
    assert budget.spent(100, 0.0, reserve=0.0) == "all 100 trials are done"
    assert Budget().spent(10**6, 1e9, 0.0) == ""


def test_the_nearer_end_is_the_time_left() -> None:
    budget = Budget(trials=100, seconds=60.0)
    assert budget.seconds_left(90, 20.0, 10.0, seconds_per_trial=1.0) == 10.0
    assert budget.seconds_left(90, 45.0, 10.0, seconds_per_trial=1.0) == 5.0
    assert budget.seconds_left(90, 20.0, 10.0, seconds_per_trial=None) == 30.0
    assert Budget().seconds_left(90, 20.0, 10.0, seconds_per_trial=1.0) is None


def test_attempts_at_the_same_time_are_counted_once() -> None:
    info, space = make_info(), make_space()

    def spent(*times: float) -> float:
        trials = [
            Trial(i, TrialStatus.FAILED, policy, seconds={"total": 10.0}, spent=time)
            for i, (policy, time) in enumerate(zip(all_policies(space), times, strict=False))
        ]
        return Tally(info, space.size, Budget(), trials).seconds

    assert 13 <= spent(12.0, 13.0) < 14
    # Studies of earlier versions did one after the other.
    assert 20 <= spent(0.0, 0.0) < 21
    assert 22 <= spent(0.0, 22.0) < 23
