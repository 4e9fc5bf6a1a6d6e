"""A whole measurement on a simulated machine."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from paretune.evaluators.measuring.samples import Samples
from paretune.evaluators.measuring.sampling import sample
from paretune.evaluators.measuring.statistics import FEWEST, median
from tests.evaluators.measuring.machine import Machine


def measured(
    machine: Machine,
    *,
    seconds: float = 2e-3,
    ratio: float = 0.5,
    noise: float = 0.02,
    target: float = 0.01,
    max_seconds: float | None = None,
    patience: float = 0.0,
) -> Samples:
    return sample(
        machine.model("r", seconds, noise),
        machine.model("c", seconds * ratio, noise),
        target=target,
        max_seconds=max_seconds,
        watch=machine,
        patience=patience,
        clock=machine.clock,
    )


def ratios(samples: Samples) -> list[float]:
    return [pair.ratio for pair in samples.counted]


def test_quiet_samples_stop_early_and_noisy_ones_at_the_limit() -> None:
    quiet, noisy = Machine(), Machine()
    few = measured(quiet, noise=0.001)
    many = measured(noisy, noise=0.3)
    assert few.converged
    assert median(ratios(few)).relative_half_width <= 0.01
    assert not many.converged
    assert len(few.pairs) < 0.9 * len(many.pairs)


@pytest.mark.parametrize(("seconds", "span"), [(1e-5, 0.2), (2e-3, 1.2), (15e-3, 1.5)])
def test_a_sure_measurement_still_spans_a_while(seconds: float, span: float) -> None:
    """What favours one model for a second is no part of an interval taken within it."""
    machine = Machine()
    samples = measured(machine, seconds=seconds, noise=0.001)
    assert samples.converged
    assert machine.now >= span


@pytest.mark.parametrize(("seconds", "most"), [(2e-4, 0.48), (15e-3, 3.8), (1e-1, 4.7)])
def test_the_time_of_a_noisy_measurement_is_bounded(seconds: float, most: float) -> None:
    machine = Machine()
    samples = measured(machine, seconds=seconds, ratio=1.0, noise=0.1)
    assert not samples.converged
    assert machine.now <= most


def test_a_time_limit_is_kept() -> None:
    short, long = Machine(), Machine()
    measured(short, noise=0.1, max_seconds=0.1, target=1e-6)
    measured(long, noise=0.1, max_seconds=5, target=1e-6)
    assert long.now - short.now == pytest.approx(4.9, abs=0.1)


def test_a_slow_model_still_gets_an_interval() -> None:
    samples = measured(Machine(), seconds=1.0, noise=0.01, target=0.001, max_seconds=0.5)
    assert len(samples.pairs) == FEWEST


@pytest.mark.parametrize(
    ("load", "swing"),
    [
        # Its clock speed falls to a third within the measurement.
        (lambda now: 1 + 2 * now, 2.5),
        (lambda now: 1 + 0.3 * math.sin(10 * now), 1.7),
    ],
    ids=["falls", "throbs"],
)
def test_a_drifting_machine_does_not_move_the_ratio(
    load: Callable[[float], float], swing: float
) -> None:
    found = []
    for seed in range(5):
        machine = Machine(seed)
        machine.load = load
        samples = measured(machine, ratio=0.7, noise=0.01, target=1e-4)
        times = [pair.candidate.seconds for pair in samples.pairs]
        assert max(times) > swing * min(times)
        result = median(ratios(samples))
        assert result.low < 0.7 < result.high
        found.append(result.value)
    assert np.mean(found) == pytest.approx(0.7, rel=0.005)


@pytest.mark.parametrize("max_seconds", [0.40, 0.42, 0.44, 0.46])
def test_both_models_go_first_equally_often(max_seconds: float) -> None:
    # A pair takes some 20 ms.
    samples = measured(Machine(), noise=0.1, target=1e-6, max_seconds=max_seconds)
    assert len(samples.pairs) % 2 == 0


def test_what_is_waited_for_takes_no_time_from_sampling() -> None:
    """A neighbour that stays for 3 s delays a measurement of 1 s, and leaves it as it is."""
    calm, waited = Machine(), Machine()
    waited.disturbed = lambda now: 0.5 < now < 3.5
    usual = measured(calm, noise=0.001, target=1e-6, max_seconds=1)
    late = measured(waited, noise=0.001, target=1e-6, max_seconds=1, patience=10)
    assert not any(pair.disturbed for pair in late.pairs)
    assert len(late.pairs) == pytest.approx(len(usual.pairs), abs=2)
    assert waited.now - calm.now == pytest.approx(3.0, abs=0.1)


def test_what_is_waited_for_takes_no_time_from_the_warm_up() -> None:
    calm, waited = Machine(), Machine()
    waited.disturbed = lambda now: now < 3
    usual = measured(calm, noise=0.001)
    late = measured(waited, noise=0.001, patience=10)
    assert late.warm
    assert len(late.warm_up) == pytest.approx(len(usual.warm_up), abs=1)


def test_blocks_are_planned_for_the_warm_model() -> None:
    machine = Machine()
    machine.load = lambda now: 1 + 9 * math.exp(-now / 0.02)
    samples = measured(machine, seconds=2e-4, ratio=1.0, noise=0.0)
    assert samples.warm
    assert samples.reference_plan.groups == samples.candidate_plan.groups == 9
    assert samples.warm_up[0].reference.seconds > 1.2 * samples.pairs[0].reference.seconds


def test_a_warm_up_without_end_is_told() -> None:
    machine = Machine()
    machine.load = lambda now: math.exp(-now)
    assert not measured(machine, seconds=15e-3, noise=0.0).warm


def test_bursts_are_taken_again_and_leave_no_trace() -> None:
    machine = Machine()

    def burst(now: float) -> bool:
        return now % 0.1 < 0.02

    machine.disturbed = burst
    # The candidate suffers more.
    machine.load = lambda now: 1.0 + burst(now) * (2.0 if machine.log[-1] == "c" else 1.0)
    samples = measured(machine, noise=0.002, target=0.001)
    assert samples.retaken > 0
    assert samples.interference["preempted"] >= samples.retaken
    assert not samples.disturbed
    assert median(ratios(samples)).value == pytest.approx(0.5, rel=0.002)


def test_what_stays_disturbed_is_counted_and_told() -> None:
    machine = Machine()
    machine.disturbed = lambda _: True
    samples = measured(machine, noise=0.001)
    assert samples.disturbed
    assert samples.counted == samples.pairs


def test_a_few_disturbed_pairs_do_not_count() -> None:
    machine = Machine()
    machine.disturbed = lambda now: now < 0.5
    samples = measured(machine, noise=0.001, target=1e-6, max_seconds=1)
    disturbed_pairs = sum(pair.disturbed for pair in samples.pairs)
    assert 0 < disturbed_pairs < len(samples.pairs) / 2
    assert not samples.disturbed
    assert len(samples.counted) == len(samples.pairs) - disturbed_pairs


def test_a_busy_machine_is_told() -> None:
    machine = Machine()
    machine.around = ["load"]
    samples = measured(machine)
    assert samples.surroundings == ("load",)
    assert samples.disturbed


def test_the_interval_covers_although_sampling_stops_when_it_is_narrow() -> None:
    covered = []
    for seed in range(100):
        result = median(ratios(measured(Machine(seed), ratio=0.8, noise=0.03)))
        covered.append(result.low <= 0.8 <= result.high)
    assert np.mean(covered) > 0.93
