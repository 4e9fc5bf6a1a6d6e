"""How long blocks are, and what is timed of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.evaluators.measuring.blocks import (
    BLOCK_SECONDS,
    SETTLING_LIMIT,
    SETTLING_RUNS,
    TIMER_SHARE,
    Side,
    plan,
)
from paretune.evaluators.measuring.samples import Plan
from tests.evaluators.measuring.machine import Machine


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1e-5, Plan(settling=200, groups=19, group=10)),
        (2e-4, Plan(settling=10, groups=9, group=1)),
        (7e-4, Plan(settling=5, groups=5, group=1)),
        (1e-2, Plan(settling=3, groups=3, group=1)),
        (15e-3, Plan(settling=2, groups=1, group=1)),
        (5.0, Plan(settling=1, groups=1, group=1)),
    ],
)
def test_a_block_opens_with_a_few_runs_and_times_about_as_many(
    seconds: float, expected: Plan
) -> None:
    assert plan(seconds, shortest=1e-4) == expected


@given(st.floats(1e-7, 10), st.floats(0, 1e-2))
def test_what_is_timed_is_long_enough_for_the_timer(seconds: float, shortest: float) -> None:
    found = plan(seconds, shortest)
    assert found.group * seconds >= shortest * 0.999
    assert found.runs * seconds >= BLOCK_SECONDS * 0.999
    assert found.groups % 2 == 1
    assert found.settling * seconds <= max(SETTLING_LIMIT, seconds)
    assert found.settling >= min(SETTLING_RUNS, int(SETTLING_LIMIT / seconds))
    assert found.runs > found.settling - 2 * found.group
    # An odd number of groups, each of which may be longer than a block has to be.
    enough = BLOCK_SECONDS * 1.001 / max(seconds, 1e-7) + 2 * found.group
    assert found.runs <= max(found.settling, enough)


def test_a_run_that_a_clock_cannot_see_is_grouped() -> None:
    assert plan(0.0, shortest=1e-3).group == 10_000


def test_a_block_is_the_median_of_its_runs() -> None:
    machine = Machine()
    side = Side(machine.model("m", 3e-4), machine.clock, error=0.0)
    assert side.plan.groups == 7
    # One run in five stalls.
    machine.load = lambda _: 9.0 if len(machine.log) % 5 == 0 else 1.0
    block = side.block()
    assert block.seconds == pytest.approx(3e-4)
    assert max(block.times) == pytest.approx(27e-4)


def test_runs_too_short_for_the_timer_are_timed_in_groups() -> None:
    machine = Machine()
    side = Side(machine.model("m", 2e-5), machine.clock, error=0.9e-4 * TIMER_SHARE)
    before = len(machine.log)
    block = side.block()
    assert len(machine.log) - before == side.plan.runs == 19 * 5
    assert block.times == pytest.approx([2e-5] * 19)


def test_a_slow_first_run_does_not_make_blocks_short() -> None:
    machine = Machine()
    machine.load = lambda _: 100.0 if len(machine.log) == 1 else 1.0
    assert Side(machine.model("m", 2.1e-4), machine.clock, error=0.0).plan.groups == 9
