"""Places that note what they are asked for, and answer when the test says so."""

from collections.abc import Set
from concurrent.futures import Future

from paretune.evaluators import Measurement
from paretune.search.attempt import Job
from paretune.search.trial import Trial, TrialStatus
from paretune.spaces import Policy
from tests.search.fake import figures


class ByHand:
    """Workers, or a lane: what is measured there are some metrics."""

    def __init__(self, metrics: Set[str], slots: int = 1) -> None:
        self.metrics = frozenset(metrics)
        self.count = slots
        self.jobs: list[Job] = []
        self._futures: dict[Policy, Future[Trial]] = {}

    def slots(self) -> int:
        return self.count

    def attempt(self, job: Job) -> "Future[Trial]":
        self.jobs.append(job)
        self._futures[job.policy] = Future()
        return self._futures[job.policy]

    def end(self, policy: Policy, sha256: str = "same") -> None:
        (split,) = [job.split for job in self.jobs if job.policy == policy]
        found = {name: m for name, m in figures(policy, split).items() if name in self.metrics}
        self.end_with(policy, complete(policy, found, sha256))

    def end_with(self, policy: Policy, trial: Trial) -> None:
        self._futures.pop(policy).set_result(trial)

    def fail(self, policy: Policy, error: Exception) -> None:
        self._futures.pop(policy).set_exception(error)

    @property
    def asked(self) -> list[Policy]:
        return [job.policy for job in self.jobs]


def complete(policy: Policy, found: dict[str, Measurement], sha256: str = "same") -> Trial:
    return Trial(
        -1, TrialStatus.COMPLETE, policy, found, artifact_sha256=sha256, seconds={"total": 1.0}
    )
