"""A device that only writes down what it is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from paretune.evaluators import EvaluationContext
from paretune.evaluators.arrays import load_arrays
from paretune.evaluators.evaluator import DeviceContext
from paretune.evaluators.measuring.job import EXPECTED, INPUTS, REFERENCE_EXPECTED, Job, Setup
from paretune.evaluators.measuring.result import Estimate, Result

LATENCY = {
    "latency": Estimate(0.002, 0.001, 0.004),
    "ratio": Estimate(0.5, 0.4, 0.6),
    "p90": Estimate(0.003, 0.002, 0.005),
    "p99": Estimate(0.01, 0.005, 0.02),
}
LOAD = {"load": Estimate(2, 1, 3), "first_run": Estimate(0.5, 0.25, 1)}


@dataclass
class Recorder:
    """A device elsewhere that answers with fixed figures and keeps what it was asked."""

    machine: str = "elsewhere"
    jobs: list[Job] = field(default_factory=list)
    arrays: list[Mapping[str, Mapping[str, Any]]] = field(default_factory=list)
    closed: bool = False

    def run(self, job: Job) -> Result:
        self.jobs.append(job)
        roles = (INPUTS, EXPECTED, REFERENCE_EXPECTED)
        self.arrays.append(
            {role: load_arrays(Path(job.files[role])) for role in roles if role in job.files}
        )
        figures = {"latency": LATENCY, "load": LOAD}[job.kind]
        return Result(figures, {"kind": job.kind}, {"host": "elsewhere"}, ("disturbed",))

    def close(self) -> None:
        self.closed = True


def on(
    context: EvaluationContext, recorder: Recorder, setup: Setup | None = None
) -> EvaluationContext:
    return replace(context, device=DeviceContext("pi", recorder, setup or Setup()))
