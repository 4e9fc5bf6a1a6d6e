"""Pairs: their order, what comes before them, and what happens to disturbed blocks."""

from itertools import groupby

import pytest

from paretune.evaluators.measuring.alternation import RETAKING_SHARE, Alternation
from paretune.evaluators.measuring.blocks import Side
from tests.evaluators.measuring.machine import Machine

SLOW = 15e-3
"""One run a block, after two that settle."""


def alternation(machine: Machine, seconds: float = SLOW) -> Alternation:
    sides = [Side(machine.model(name, seconds), machine.clock, 0.0) for name in "rc"]
    machine.log.clear()
    return Alternation(sides[0], sides[1], machine, machine.clock)


def lengths(log: list[str]) -> list[tuple[str, int]]:
    return [(name, len(list(runs))) for name, runs in groupby(log)]


def test_the_side_that_goes_first_alternates_and_a_change_of_model_settles() -> None:
    machine = Machine()
    pairs = alternation(machine)
    for _ in range(4):
        pairs.take()
    # Two runs settle, one is timed; the second block in a row needs no settling.
    assert lengths(machine.log) == [("r", 3), ("c", 4), ("r", 4), ("c", 4), ("r", 3)]


def test_a_cold_model_is_not_what_is_timed() -> None:
    machine = Machine()
    pairs = alternation(machine)
    machine.load = lambda _: 1.5 if machine.log[-2:-1] != machine.log[-1:] else 1.0
    found = [pairs.take() for _ in range(6)]
    assert [pair.ratio for pair in found] == pytest.approx([1.0] * 6)


def test_a_disturbed_block_is_taken_again_after_settling() -> None:
    machine = Machine()
    pairs = alternation(machine)
    begin = machine.now
    # Over with the first timed run.
    machine.disturbed = lambda now: now < begin + 2.5 * SLOW
    pair = pairs.take()
    assert not pair.disturbed
    assert pairs.retaken == 1
    assert pairs.interference == {"preempted": 1}
    assert lengths(machine.log) == [("r", 6), ("c", 3)]


def test_what_interferes_while_a_model_settles_does_not_matter() -> None:
    machine = Machine()
    pairs = alternation(machine)
    begin = machine.now
    machine.disturbed = lambda now: now < begin + 1.5 * SLOW
    assert not pairs.take().disturbed
    assert pairs.retaken == 0


def test_taking_again_is_bounded() -> None:
    machine = Machine()
    pairs = alternation(machine)
    machine.disturbed = lambda _: True
    begin = machine.now
    found = [pairs.take() for _ in range(50)]
    assert all(pair.disturbed for pair in found)
    per_block = 3 * SLOW
    assert pairs.retaken * per_block == pytest.approx(
        RETAKING_SHARE * (machine.now - begin), rel=0.05
    )


def test_counting_starts_anew_after_the_warm_up() -> None:
    machine = Machine()
    pairs = alternation(machine)
    machine.disturbed = lambda _: True
    pairs.take()
    machine.disturbed = lambda _: False
    pairs.start_counting()
    pairs.take()
    assert pairs.retaken == 0
    assert not pairs.interference


def test_patience_outwaits_what_disturbs_and_is_spent_once() -> None:
    machine = Machine()
    sides = [Side(machine.model(name, SLOW), machine.clock, 0.0) for name in "rc"]
    pairs = Alternation(sides[0], sides[1], machine, machine.clock, patience=10.0)
    begin = machine.now
    machine.disturbed = lambda now: now < begin + 8.0
    assert not pairs.take().disturbed
    assert pairs.wasted == pytest.approx(8.0, abs=0.1)
    pairs.start_counting()
    machine.disturbed = lambda _: True
    begin = machine.now
    assert pairs.take().disturbed
    assert pairs.wasted == pytest.approx(2.0, abs=0.2)
