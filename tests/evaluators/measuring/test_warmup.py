"""When warm-up ends."""

import math

import pytest

from paretune.evaluators.measuring.samples import Block, Pair
from paretune.evaluators.measuring.timer import Clock
from paretune.evaluators.measuring.warmup import TOLERANCE, WarmUp, warm_up
from tests.evaluators.measuring.machine import Machine


def warmed(machine: Machine, seconds: float, noise: float = 0.0) -> WarmUp:
    reference = machine.model("r", seconds, noise)
    candidate = machine.model("c", seconds / 2, noise)

    def timed(clock: Clock, run: object) -> Block:
        start = clock()
        assert callable(run)
        run()
        return Block((clock() - start,))

    def take() -> Pair:
        return Pair(timed(machine.clock, reference), timed(machine.clock, candidate))

    return warm_up(take, machine.clock)


def test_a_warm_model_is_seen_to_be_warm_at_once() -> None:
    result = warmed(Machine(), 20e-3)
    assert result.ended
    assert len(result.pairs) == 6


def test_fast_pairs_are_watched_for_as_long_as_clock_speeds_need() -> None:
    machine = Machine()
    result = warmed(machine, 1e-3)
    assert result.ended
    assert machine.now == pytest.approx(0.1, abs=0.003)


@pytest.mark.parametrize("seconds", [0.03, 0.1])
def test_it_waits_until_the_model_gets_no_faster(seconds: float) -> None:
    machine = Machine()
    # Twice as slow at the start, and faster for so long.
    machine.load = lambda now: 1 + math.exp(-now / seconds)
    result = warmed(machine, 2e-3)
    assert result.ended
    left = machine.load(machine.now) - 1
    assert left < 5 * TOLERANCE
    assert machine.now > 2 * seconds


def test_one_side_that_still_warms_up_is_enough_to_wait() -> None:
    machine = Machine()
    cold = 0.1
    machine.load = lambda now: 1 + (machine.log[-1] == "c") * math.exp(-now / cold)
    assert warmed(machine, 2e-3).ended
    assert machine.now > 2 * cold


def test_what_never_settles_ends_at_the_time_limit_and_says_so() -> None:
    machine = Machine()
    machine.load = lambda now: math.exp(-now)
    result = warmed(machine, 20e-3)
    assert not result.ended
    assert machine.now == pytest.approx(1, abs=0.05)


def test_stalls_do_not_keep_it_up() -> None:
    machine = Machine()
    machine.load = lambda _: 4.0 if machine.rng.random() < 0.3 else 1.0
    assert warmed(machine, 2e-3, noise=0.005).ended
    assert machine.now < 0.4


def test_a_slow_model_gets_two_pairs() -> None:
    result = warmed(Machine(), 3.0)
    assert result.ended
    assert len(result.pairs) == 2
