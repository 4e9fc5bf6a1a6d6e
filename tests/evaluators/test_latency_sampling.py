"""Sampling on a clock that only the simulated models move: no test here depends on real time."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from paretune.evaluators.latency.sampling import (
    BLOCK_SECONDS,
    Pairs,
    block_runs,
    sample,
    warm_up,
)
from paretune.evaluators.latency.statistics import FEWEST, median


class Machine:
    """A clock and models that take time on it, all slowed down alike by `load`."""

    def __init__(self, seed: int = 0) -> None:
        self.now = 0.0
        self.rng = np.random.default_rng(seed)
        self.load: Callable[[float], float] = lambda _: 1.0
        self.log: list[str] = []

    def clock(self) -> float:
        return self.now

    def model(self, name: str, seconds: float, noise: float = 0.0) -> Callable[[], None]:
        def run() -> None:
            self.log.append(name)
            spread = math.exp(noise * self.rng.standard_normal())
            self.now += seconds * spread * self.load(self.now)

        return run


def pairs(machine: Machine, ratio: float = 0.5, noise: float = 0.02, **settings: float) -> Pairs:
    return sample(
        machine.model("r", 2e-3, noise),
        machine.model("c", 2e-3 * ratio, noise),
        machine.clock,
        target=settings.get("target", 0.01),
        max_seconds=settings.get("max_seconds", 0.5),
    )


@pytest.mark.parametrize(("seconds", "runs"), [(1e-5, 100), (4e-4, 3), (1e-3, 1), (5.0, 1)])
def test_a_block_lasts_a_millisecond(seconds: float, runs: int) -> None:
    assert block_runs(seconds) == runs
    assert runs * seconds >= BLOCK_SECONDS


def test_warm_up_waits_until_runs_get_no_faster() -> None:
    machine = Machine()
    machine.load = lambda _: 1 + 4 * 0.5 ** len(machine.log)
    assert warm_up(machine.model("m", 1e-3), machine.clock) == pytest.approx(1e-3, rel=0.02)
    assert len(machine.log) > 8


def test_warm_up_of_a_slow_model_ends() -> None:
    machine = Machine()
    warm_up(machine.model("m", 1.5), machine.clock)
    assert len(machine.log) == 2


def test_quiet_samples_stop_early_and_noisy_ones_at_the_limit() -> None:
    quiet, noisy = Machine(), Machine()
    few = pairs(quiet, noise=0.001)
    many = pairs(noisy, noise=0.3)
    assert len(few.ratios) == 20
    assert median(few.ratios).relative_half_width <= 0.01
    assert noisy.now == pytest.approx(0.5, abs=0.15)
    assert len(many.ratios) > 60


def test_a_slow_model_still_gets_an_interval() -> None:
    machine = Machine()
    result = sample(
        machine.model("r", 1.0, 0.01),
        machine.model("c", 1.0, 0.01),
        machine.clock,
        target=0.001,
        max_seconds=0.5,
    )
    assert len(result.ratios) == FEWEST


def test_the_two_alternate_and_so_does_who_goes_first() -> None:
    machine = Machine()
    pairs(machine, ratio=1.0, noise=0.0)
    assert "".join(machine.log).endswith("rccrrccrrccrrccr")


def test_short_models_are_run_in_blocks() -> None:
    machine = Machine()
    result = pairs(machine, ratio=0.11)
    assert result.runs == 5
    assert "ccccc" in "".join(machine.log)
    assert median(list(result.candidate)).value == pytest.approx(2.2e-4, rel=0.02)


def test_a_drifting_machine_does_not_move_the_ratio() -> None:
    machine = Machine()
    # Its clock speed falls to a third within the measurement, with a throb besides.
    machine.load = lambda now: (1 + 4 * now) * (1.5 + math.sin(40 * now))
    result = pairs(machine, ratio=0.7, noise=0.01, target=1e-4)
    assert median(result.ratios).value == pytest.approx(0.7, rel=0.01)
    assert max(result.candidate) > 2 * min(result.candidate)


def test_the_interval_covers_although_sampling_stops_when_it_is_narrow() -> None:
    covered = []
    for seed in range(300):
        result = median(pairs(Machine(seed), ratio=0.8, noise=0.03).ratios)
        covered.append(result.low <= 0.8 <= result.high)
    assert np.mean(covered) > 0.92
