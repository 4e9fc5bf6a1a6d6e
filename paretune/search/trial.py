"""A trial: one policy with its measurements."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from paretune.evaluators import Measurement
from paretune.spaces import Policy

TRANSIENT = "transient: "
"""Begins the reason of a failed trial whose policy was not to blame."""


class TrialStatus(StrEnum):
    """How a trial ended."""

    COMPLETE = "complete"
    """Measured. It may still violate a constraint."""

    INFEASIBLE = "infeasible"
    """A rule says no; `reason` says which."""

    FAILED = "failed"
    """It broke; `reason` is the error."""


@dataclass(frozen=True)
class Trial:
    """One policy and what became of it.

    Attributes:
        number: counts from 0 in the order of the study's storage.
        status: how it ended.
        policy: canonical.
        measurements: metric name to measurement, as taken during the search. An infeasible trial
            has those that show that a constraint is broken, if any.
        confirmed: the same after the search: whole `search` split, fresh latency. Empty before.
        test: measured once on the `test` split. Empty before.
        violations: the constraints that do not hold, such as `accuracy_drop <= 0.02`.
        reason: why it is infeasible or failed, else empty.
        artifact_sha256: of the artifact measured, else empty.
        seconds: part of the trial (`apply`, an evaluator's name, ...) to wall time. Evaluators on
            different machines overlap; `total` is all of it.
        finished_at: Unix time in seconds.
        spent: seconds of the study's time that had gone by then, all runs together; 0 in studies of
            earlier versions.
    """

    number: int
    status: TrialStatus
    policy: Policy
    measurements: Mapping[str, Measurement] = field(default_factory=dict)
    confirmed: Mapping[str, Measurement] = field(default_factory=dict)
    test: Mapping[str, Measurement] = field(default_factory=dict)
    violations: tuple[str, ...] = ()
    reason: str = ""
    artifact_sha256: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    finished_at: float = 0.0
    spent: float = 0.0

    @property
    def figures(self) -> Mapping[str, Measurement]:
        """The best figures that choosing may look at: confirmed ones if there are any."""
        return self.confirmed or self.measurements

    @property
    def partial(self) -> bool:
        """Whether these are estimates from a part of the split: never enough for the front."""
        return any(measurement.partial for measurement in self.figures.values())

    @property
    def stopped(self) -> bool:
        """Whether the search gave it up before everything was measured on the whole split."""
        if self.status is TrialStatus.INFEASIBLE:
            return bool(self.measurements)
        return any(measurement.partial for measurement in self.measurements.values())

    @property
    def samples(self) -> int | None:
        """How many of the split's samples the search has run; None where that is not known."""
        counts = [
            measurement.samples["count"]
            for measurement in self.measurements.values()
            if "split" in measurement.conditions and "count" in measurement.samples
        ]
        return max(counts, default=None)

    @property
    def transient(self) -> bool:
        """Failed, but nothing is known about the policy: another time it may succeed."""
        return self.status is TrialStatus.FAILED and self.reason.startswith(TRANSIENT)

    @property
    def duration(self) -> float:
        """Seconds of wall time; studies of earlier versions did nothing at the same time."""
        return self.seconds.get("total", sum(self.seconds.values()))

    @property
    def feasible(self) -> bool:
        """Complete, and no constraint is violated."""
        return self.status is TrialStatus.COMPLETE and not self.violations
