"""A device whose jobs last until the test says so."""

import threading
from collections.abc import Callable

from paretune.errors import TransientError
from paretune.evaluators.measuring.job import Job, Limits, Setup
from paretune.evaluators.measuring.result import Estimate, Result

RESULT = Result({"latency": Estimate(1.0, 0.9, 1.1)}, {"raw": [1]}, {"host": "h"}, ("disturbed",))
HASH = "ab" * 32
JOB = Job("latency", Setup(), {"model": HASH, "inputs": HASH}, {}, Limits(60.0))


class FakeDevice:
    """Runs one job at a time, or the job fails.

    Attributes:
        seen: jobs, in the order in which they ran.
        failures: raised by the next jobs instead of a result.
        ended: jobs that were cancelled.
    """

    machine = "m"

    def __init__(self) -> None:
        self.seen: list[Job] = []
        self.ended: list[Job] = []
        self.failures: list[Exception] = []
        self._busy = threading.Lock()
        self._turns = threading.Semaphore(0)

    def finish(self, jobs: int = 1) -> None:
        """Let so many jobs end."""
        for _ in range(jobs):
            self._turns.release()

    def run(
        self, job: Job, *, on_note: Callable[[str], None], cancelled: Callable[[], bool]
    ) -> Result:
        assert self._busy.acquire(blocking=False), "two jobs at once"
        try:
            return self._run(job, on_note, cancelled)
        finally:
            self._busy.release()

    def close(self) -> None:
        """Nothing is held."""

    def _run(
        self, job: Job, on_note: Callable[[str], None], cancelled: Callable[[], bool]
    ) -> Result:
        self.seen.append(job)
        on_note("warming up")
        while not self._turns.acquire(timeout=0.005):
            if cancelled():
                self.ended.append(job)
                raise TransientError("cancelled")
        if self.failures:
            raise self.failures.pop(0)
        return RESULT
