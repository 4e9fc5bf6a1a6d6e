"""The machine that `coverage` measures on does what its noise says."""

from collections.abc import Callable

import numpy as np
import pytest

from experiments.benchmarks.simulated_machine import Noise, SimulatedMachine


def times(machine: SimulatedMachine, run: Callable[[], None], seconds: float) -> list[float]:
    """Of all runs in so much simulated time."""
    found = []
    end = machine.now + seconds
    while machine.now < end:
        start = machine.now
        run()
        found.append(machine.now - start)
    return found


def machine(**noise: float) -> SimulatedMachine:
    return SimulatedMachine(Noise(**noise), np.random.default_rng(0))


def test_without_noise_runs_take_what_they_take() -> None:
    quiet = machine(run=0.0)
    assert times(quiet, quiet.candidate(1e-3), 0.1) == pytest.approx([1e-3] * 100)
    assert quiet.disturbances() == []
    assert quiet.long_run() == 1.0


def test_the_long_run_is_the_median_of_undisturbed_runs() -> None:
    noisy = machine(run=0.02, tail=0.2)
    found = np.median(times(noisy, noisy.candidate(2e-4), 4.0))
    assert found == pytest.approx(2e-4 * noisy.long_run(), rel=0.002)
    assert noisy.long_run() > 1.002


def test_preemption_is_told_and_costs_time() -> None:
    busy = machine(run=0.0, preempting=0.3)
    found = np.array(times(busy, busy.candidate(1e-3), 7.0))
    assert busy.disturbances() == ["preempted"]
    assert busy.start() == []
    assert busy.disturbances() == []
    # While both want the CPU, one run in 3.5 is interrupted, for 3 ms.
    share = np.mean(found > 2e-3)
    assert 0.02 < share < 0.15
    assert found.max() == pytest.approx(4e-3)


def test_contention_changes_the_ratio_and_nobody_tells() -> None:
    shared = machine(run=0.0, contending=0.3)
    reference, candidate = shared.reference(1e-3), shared.candidate(1e-3)
    slow = np.array(times(shared, reference, 3.0))
    assert set(slow.round(6)) == {1e-3, 1.25e-3}
    assert set(np.round(times(shared, candidate, 3.0), 6)) == {1e-3, 1.12e-3}
    assert shared.disturbances() == []


@pytest.mark.parametrize("noise", [{"drift": 0.1}, {"wobble": 0.1}])
def test_drift_is_common_and_wobble_is_the_candidates(noise: dict[str, float]) -> None:
    drifting = machine(run=0.0, **noise)
    reference, candidate = drifting.reference(1e-4), drifting.candidate(1e-4)
    pairs = []
    for _ in range(2000):
        pairs.append((times(drifting, reference, 1e-5)[0], times(drifting, candidate, 1e-5)[0]))
    a, b = np.array(pairs).T
    assert (np.std(np.log(a)) > 0.02) == ("drift" in noise)
    assert (np.std(np.log(b / a)) > 0.02) == ("wobble" in noise)
