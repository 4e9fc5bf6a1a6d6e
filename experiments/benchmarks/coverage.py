"""Do the intervals hold what they promise? The real protocol on a simulated machine.

For every kind of noise 200 measurements are taken, of models of 0.1 to 15 ms: how often does the
95% interval of the ratio cover its long-run value (that of the medians of undisturbed runs)? And
of two models that differ by 3%, each measured once: how often has the faster one the smaller ratio?

Run: python -m experiments.benchmarks.coverage
"""

import json
from statistics import fmean

import numpy as np

from experiments.benchmarks.simulated_machine import Noise, SimulatedMachine
from paretune.evaluators.measuring.result import Estimate
from paretune.evaluators.measuring.sampling import sample
from paretune.evaluators.measuring.summary import summarize

MEASUREMENTS = 200
TARGET = 0.01
RATIO = 0.6
DIFFERENCE = 1.03
SECONDS = (1e-4, 2e-4, 1.5e-3, 15e-3)

SCENARIOS = {
    "quiet": Noise(),
    "noisy runs": Noise(run=0.05),
    "heavy tails": Noise(run=0.02, tail=0.1),
    "drift": Noise(run=0.02, drift=0.1),
    "throttling": Noise(run=0.02, throttle=0.3),
    "wobble": Noise(wobble=0.015),
    "slow wobble": Noise(wobble=0.01, wobble_seconds=0.05),
    "bursts, same CPU": Noise(run=0.02, preempting=0.3),
    "bursts, other CPU": Noise(run=0.02, contending=0.2),
    "everything": Noise(
        run=0.03, tail=0.05, drift=0.05, wobble=0.01, preempting=0.2, contending=0.1
    ),
}


def main() -> None:
    coverage, ordered = {}, {}
    print(f"{'noise':20}{'coverage':>10}{'ordered':>10}{'half width':>12}{'seconds':>10}")
    for name, noise in SCENARIOS.items():
        rng = np.random.default_rng(0)
        slower, taken = zip(
            *(_measure(noise, rng, i, RATIO * DIFFERENCE) for i in range(MEASUREMENTS)), strict=True
        )
        truth = RATIO * SimulatedMachine(noise, rng).long_run()
        results = [_measure(noise, rng, i, RATIO)[0] for i in range(MEASUREMENTS)]
        coverage[name] = fmean(result.low <= truth <= result.high for result in results)
        ordered[name] = fmean(a.value < b.value for a, b in zip(results, slower, strict=True))
        width = fmean(result.relative_half_width for result in results)
        print(
            f"{name:20}{coverage[name]:10.3f}{ordered[name]:10.3f}{width:12.4f}{fmean(taken):10.2f}"
        )
    figures = {
        "coverage": round(fmean(coverage.values()), 4),
        "ordered": round(fmean(ordered.values()), 4),
        "worst_coverage": round(min(coverage.values()), 4),
        "worst_ordered": round(min(ordered.values()), 4),
    }
    print(json.dumps(figures))


def _measure(
    noise: Noise, rng: np.random.Generator, number: int, ratio: float
) -> tuple[Estimate, float]:
    """The ratio as measured, and the simulated seconds that took."""
    seconds = SECONDS[number % len(SECONDS)]
    machine = SimulatedMachine(noise, rng)
    samples = sample(
        machine.reference(seconds),
        machine.candidate(seconds * ratio),
        target=TARGET,
        watch=machine,
        clock=machine.clock,
    )
    return summarize(samples).figures["ratio"], machine.now


if __name__ == "__main__":
    main()
