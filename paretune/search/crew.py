"""Who attempts policies: one after the other in this process, or several at once elsewhere."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from paretune.search.attempt import Job, attempt
from paretune.search.bench import Bench
from paretune.search.trial import Trial


class Crew(Protocol):
    """Attempts jobs, no two of the same policy at a time.

    What a candidate is to blame for is in its trial, and not raised.
    """

    @property
    def free(self) -> int:
        """How many more jobs it takes now."""
        ...

    def start(self, job: Job) -> None:
        """Take a job on; it may end before others that were started earlier."""
        ...

    def ended(self) -> Sequence[Trial]:
        """Wait a moment for what is under way.

        Returns:
            trials of jobs that have ended, without numbers; maybe none yet.
        """
        ...


class Solo:
    """One job at a time, in this process."""

    def __init__(self, bench: Bench, path: Path) -> None:
        """Args:
        path: scratch file for the artifacts.
        """
        self._bench = bench
        self._path = path
        self._job: Job | None = None

    @property
    def free(self) -> int:
        return int(self._job is None)

    def start(self, job: Job) -> None:
        assert self._job is None
        self._job = job

    def ended(self) -> Sequence[Trial]:
        """Attempt the job."""
        assert self._job is not None
        job, self._job = self._job, None
        return [attempt(self._bench, job, self._path)]
