"""What a clock's error is taken for."""

import itertools
from collections.abc import Callable

import pytest

from paretune.evaluators.measuring.timer import timer_error


def clock(cost: float, resolution: float) -> Callable[[], float]:
    """Every reading takes `cost` seconds; it shows multiples of `resolution`."""
    readings = itertools.count()
    return lambda: next(readings) * cost // resolution * resolution


def test_a_fine_clock_errs_by_what_a_reading_takes() -> None:
    assert timer_error(clock(64e-9, 1e-9)) == pytest.approx(64e-9, rel=0.05)


def test_a_coarse_clock_errs_by_its_resolution() -> None:
    assert timer_error(clock(50e-9, 1e-6)) == pytest.approx(1e-6)


def test_a_clock_that_stands_still_is_not_waited_for() -> None:
    assert timer_error(lambda: 7.0) == 0.0
