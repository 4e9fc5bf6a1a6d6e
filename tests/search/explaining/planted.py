"""Studies with planted effects: what an explanation must find is known to the last digit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from paretune.evaluators import Measurement, Metric
from paretune.search.info import StudyInfo
from paretune.search.trial import Trial, TrialStatus
from paretune.spaces import Choice, Policy

ACCURACY = Metric("accuracy", "", "maximize", "share of hits")
LATENCY = Metric("latency_ms", "ms", "minimize", "median latency", per_device=True)
SIZE = Metric("size_bytes", "bytes", "minimize", "size of the file")

LAYERS = tuple(f"conv{i}" for i in range(1, 7))
FRAGILE, IDLE, PAIR = "conv1", "conv6", ("conv3", "conv4")

Truth = Callable[[Mapping[str, str]], Mapping[str, float]]


def truth(choices: Mapping[str, str]) -> dict[str, float]:
    """int8 loses 0.05 in conv1 and nothing elsewhere; w4 loses 0.02 everywhere.

    int8 saves 0.2 ms in every layer but conv6, and 0.3 ms more where conv3 and conv4 both are in
    it. w4 saves no time. A layer is 100 kB in fp32, 25 in int8 and 13 in w4.
    """
    accuracy, latency, size = 0.95, 5.0, 0.0
    for layer, choice in choices.items():
        accuracy -= 0.05 * (choice == "int8" and layer == FRAGILE) + 0.02 * (choice == "w4")
        latency -= 0.2 * (choice == "int8" and layer != IDLE)
        size += {"fp32": 100e3, "int8": 25e3, "w4": 13e3}[choice]
    latency -= 0.3 * all(choices[layer] == "int8" for layer in PAIR)
    return {"accuracy": accuracy, "latency_ms": latency, "size_bytes": size}


def planted(
    count: int,
    seed: int = 0,
    noise: float = 1.0,
    options: Sequence[str] = ("fp32", "int8", "w4"),
    of: Truth = truth,
) -> list[Trial]:
    """Random policies with the planted figures and Gaussian noise.

    Args:
        noise: 1 is 0.003 of accuracy and 0.03 ms.
    """
    rng = np.random.default_rng(seed)
    deviation = {"accuracy": 0.003 * noise, "latency_ms": 0.03 * noise}
    trials = []
    for number in range(count):
        picked = rng.choice(options, size=len(LAYERS))
        if number < len(options):
            picked = np.repeat(options[number], len(LAYERS))
        choices = {layer: str(choice) for layer, choice in zip(LAYERS, picked, strict=True)}
        figures = {
            name: value + deviation.get(name, 0.0) * float(rng.standard_normal())
            for name, value in of(choices).items()
        }
        trials.append(trial(number, choices, figures))
    return trials


def trial(number: int, choices: Mapping[str, str], figures: Mapping[str, float]) -> Trial:
    """A measured trial."""
    return Trial(
        number,
        TrialStatus.COMPLETE,
        Policy.of({layer: Choice.parse(choice) for layer, choice in choices.items()}),
        {name: Measurement(value, value, value) for name, value in figures.items()},
    )


def changed(one: Trial, **figures: float) -> Trial:
    """The trial with other figures."""
    others = {name: Measurement(float(value)) for name, value in figures.items()}
    return replace(one, measurements={**one.measurements, **others})


def info(*objectives: Metric) -> StudyInfo:
    """Of a study of these objectives; of accuracy and latency by default."""
    those = objectives or (ACCURACY, LATENCY)
    return StudyInfo("planted", those, those, (), {}, {}, {})
