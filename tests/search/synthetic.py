"""Studies made up from a seed: what tables, figures, rules and tracking are tested on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from paretune.evaluators import Measurement, Metric
from paretune.search.constraint import Constraint
from paretune.search.front import front
from paretune.search.info import StudyInfo
from paretune.search.trial import Trial, TrialStatus
from paretune.spaces import Choice, Policy

ACCURACY = Metric("accuracy", "", "maximize", "top-1 accuracy")
DROP = Metric("accuracy_drop", "", "minimize", "accuracy lost to fp32")
LATENCY = Metric("latency_ms", "ms", "minimize", "median latency")
SIZE = Metric("size_bytes", "bytes", "minimize", "size of the file")


def make_info(
    objectives: Sequence[Metric] = (ACCURACY, LATENCY),
    metrics: Sequence[Metric] = (ACCURACY, DROP, LATENCY, SIZE),
    name: str = "synthetic",
    config: Mapping[str, Any] | None = None,
) -> StudyInfo:
    return StudyInfo(
        name=name,
        objectives=tuple(objectives),
        metrics=tuple(metrics),
        constraints=(Constraint("accuracy_drop", "<=", 0.1),) if DROP in metrics else (),
        config=config
        or {"name": name, "search": {"sampler": "nsga2", "seed": 0}, "model": "model.onnx"},
        identity={"model": "a" * 16, "data": "b" * 16, "space": "c" * 16},
        environment={"host": "bench", "cpu": "some CPU", "onnxruntime": "1.31.0"},
    )


def make_trials(
    count: int = 80, layers: int = 15, seed: int = 0, *, confirm: bool = True
) -> list[Trial]:
    """fp32, uniform int8, then random policies whose figures follow loosely from them."""
    rng = np.random.default_rng(seed)
    names = [f"/block{i // 3}/conv{i % 3}/Conv" for i in range(layers - 1)] + ["/head/Gemm"]
    weights = rng.dirichlet(np.ones(layers))
    spellings = ["fp32", "int8", "int8+channel:0.25", "fp16", "w4", "fp32+2:4"]
    speed = {"fp32": 1.0, "int8": 0.5, "int8+channel:0.25": 0.38, "fp16": 1.0, "w4": 1.1}
    trials = []
    for number in range(count):
        if number < 2:
            picked = [("fp32", "int8")[number]] * layers
        else:
            share = rng.dirichlet([2.0, 3.0, 1.5, 0.6, 0.4, 0.3])
            picked = [str(c) for c in rng.choice(spellings, size=layers, p=share)]
        policy = Policy.of({n: Choice.parse(c) for n, c in zip(names, picked, strict=True)})
        cost = sum(w * speed.get(c, 1.0) for w, c in zip(weights, picked, strict=True))
        lost = sum(
            w * {"fp32": 0.0, "int8": 0.03, "fp16": 0.001}.get(c, 0.12)
            for w, c in zip(weights, picked, strict=True)
        )
        latency = 2.0 * cost * float(rng.lognormal(0.0, 0.03))
        accuracy = 0.982 - lost + float(rng.normal(0, 0.002)) * (number > 0)
        drop = 0.982 - accuracy
        size = float(round(312_000 * (0.25 + 0.75 * (cost - 0.38) / 0.72)))
        status = TrialStatus.COMPLETE
        if number > 2 and rng.random() < 0.06:
            status = TrialStatus.INFEASIBLE if rng.random() < 0.5 else TrialStatus.FAILED
        if status is not TrialStatus.COMPLETE:
            trials.append(Trial(number, status, policy, reason="block size does not fit"))
            continue
        measured = {
            "accuracy": Measurement(accuracy, accuracy - 0.004, accuracy + 0.0035),
            "accuracy_drop": Measurement(drop, drop - 0.003, drop + 0.003),
            "latency_ms": Measurement(
                latency, latency * 0.985, latency * 1.02, conditions={"threads": 1, "batch": 1}
            ),
            "size_bytes": Measurement(size),
        }
        trials.append(
            Trial(
                number,
                status,
                policy,
                measured,
                violations=("accuracy_drop <= 0.1",) if drop > 0.1 else (),
                artifact_sha256=f"{number:064x}",
                seconds={"apply": 0.02, "accuracy": 0.4, "latency": 0.3},
                finished_at=1.76e9 + number,
            )
        )
    if confirm:
        chosen = {t.number for t in front(trials, (ACCURACY, LATENCY))} | {0, 1}
        trials = [confirmed(t) if t.number in chosen else t for t in trials]
    return trials


def confirmed(trial: Trial) -> Trial:
    """The trial with confirmed figures (as measured) and test figures (a little worse)."""
    test = {
        name: replace(m, value=m.value * 0.995, low=None, high=None)
        for name, m in trial.measurements.items()
    }
    return replace(trial, confirmed=dict(trial.measurements), test=test)


PI, SERVER = LATENCY.on("pi"), LATENCY.on("server")


def make_device_info(
    constraints: Sequence[Constraint] = (), config: Mapping[str, Any] | None = None
) -> StudyInfo:
    """A study on the devices `pi` and `server`."""
    info = make_info((ACCURACY, PI, SERVER), (ACCURACY, PI, SERVER, SIZE), config=config)
    return replace(info, constraints=tuple(constraints))


def make_device_trials(count: int = 60, seed: int = 0) -> list[Trial]:
    """Trials of which some are better on `pi` and others on `server`; confirmed and tested."""
    rng = np.random.default_rng([seed, 1])
    trials = []
    for trial in make_trials(count, seed=seed, confirm=False):
        measured = dict(trial.measurements)
        if measured:
            latency = measured.pop("latency_ms")
            del measured["accuracy_drop"]
            for device in ("pi", "server"):
                value = latency.value * float(rng.lognormal(0.0, 0.3))
                measured[f"latency_ms@{device}"] = Measurement(
                    value, 0.98 * value, 1.02 * value, conditions={"host": device}
                )
        trials.append(replace(trial, measurements=measured, violations=()))
    return [confirmed(trial) if trial.measurements else trial for trial in trials]
