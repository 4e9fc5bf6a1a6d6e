"""A crew on a cluster: workers measure answers, while devices measure latencies."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue

from paretune.errors import UserError
from paretune.evaluators import Measurement
from paretune.search.attempt import Job, failed
from paretune.search.cluster.lanes import Lane
from paretune.search.cluster.workers import Workers
from paretune.search.info import StudyInfo
from paretune.search.trial import Trial, TrialStatus
from paretune.spaces import Policy

MOMENT_S = 0.5
"""To wait for something to end, before one looks around for new workers."""


@dataclass
class _Work:
    """A job that is under way.

    Attributes:
        parts: what has ended, by place: lanes by their number, the workers at -1.
        begun: places that are at it, or were.
    """

    job: Job
    parts: dict[int, Trial] = field(default_factory=dict)
    begun: set[int] = field(default_factory=set)


WORKERS = -1


class ClusterCrew:
    """Every job is done by a worker and on every device, in the order in which they are free.

    A device that is free takes any job, so that none waits for answers; best one whose answers are
    good enough. A worker takes best one whose latency is known, which then counts in the race.
    """

    def __init__(self, info: StudyInfo, workers: Workers, lanes: Sequence[Lane]) -> None:
        self._info = info
        self._workers = workers
        self._lanes = lanes
        self._works: dict[Policy, _Work] = {}
        self._called = 0
        self._busy: set[int] = set()
        self._done: SimpleQueue[tuple[int, Policy, Future[Trial]]] = SimpleQueue()

    @property
    def free(self) -> int:
        """So many that nobody idles, no more: the sampler knows most about what has ended."""
        return max(0, self._most + 2 * len(self._lanes) - len(self._works))

    def start(self, job: Job) -> None:
        self._works[job.policy] = _Work(job)
        self._dispatch()

    def ended(self) -> Sequence[Trial]:
        found: list[Trial] = []
        wait = True
        while True:
            try:
                place, policy, future = self._done.get(timeout=MOMENT_S if wait else 0)
            except Empty:
                break
            wait = False
            self._leave(place)
            work = self._works.get(policy)
            # A job is over as soon as one place rules the candidate out.
            if work is not None:
                work.parts[place] = _trial(policy, future)
                if (trial := self._outcome(work)) is not None:
                    del self._works[policy]
                    found.append(trial)
        self._dispatch()
        return found

    @property
    def _most(self) -> int:
        """Jobs that are sent to the workers: enough for them while the sampler thinks."""
        slots = self._workers.slots()
        return slots + (slots + 1) // 2

    def _leave(self, place: int) -> None:
        if place == WORKERS:
            self._called -= 1
        else:
            self._busy.discard(place)

    def _dispatch(self) -> None:
        for number, lane in enumerate(self._lanes):
            if number not in self._busy and (work := self._next(number)) is not None:
                self._busy.add(number)
                self._begin(number, work, lane.attempt(work.job))
        while self._called < self._most and (work := self._next(WORKERS)) is not None:
            self._called += 1
            self._begin(WORKERS, work, self._workers.attempt(self._rest(work)))

    def _next(self, place: int) -> _Work | None:
        """The job that a place does next: the one that is furthest elsewhere, then the oldest."""
        waiting = [work for work in self._works.values() if place not in work.begun]
        return max(waiting, key=lambda work: (len(work.parts), -len(work.begun)), default=None)

    def _begin(self, place: int, work: _Work, future: "Future[Trial]") -> None:
        work.begun.add(place)
        policy = work.job.policy
        future.add_done_callback(lambda done: self._done.put((place, policy, done)))

    def _rest(self, work: _Work) -> Job:
        """What a worker has to do, with what the devices have measured so far."""
        known: dict[str, Measurement] = {}
        for part in work.parts.values():
            known |= part.measurements
        devices = frozenset().union(*(lane.metrics for lane in self._lanes))
        return replace(work.job, known=known, elsewhere=devices - known.keys())

    def _outcome(self, work: _Work) -> Trial | None:
        for part in work.parts.values():
            if part.status is not TrialStatus.COMPLETE:
                return part
        if len(work.parts) <= len(self._lanes):
            return None
        return merged(list(work.parts.values()), self._info)


def merged(parts: Sequence[Trial], info: StudyInfo) -> Trial:
    """One trial of complete ones of the same policy, which were measured in several places."""
    first = parts[0]
    seconds = {name: spent for part in parts for name, spent in part.seconds.items()}
    seconds["total"] = max(part.duration for part in parts)
    files = {part.artifact_sha256 for part in parts}
    if len(files) > 1:
        error = RuntimeError(
            "a worker's artifact is not the driver's, their packages differ:"
            f" {' and '.join(sorted(sha256[:12] for sha256 in files))}"
        )
        return failed(first.policy, error, seconds)
    known = {name: found for part in parts for name, found in part.measurements.items()}
    measurements = {m.name: known[m.name] for m in info.metrics}
    finished_at = max(part.finished_at for part in parts)
    return replace(first, measurements=measurements, seconds=seconds, finished_at=finished_at)


def _trial(policy: Policy, future: "Future[Trial]") -> Trial:
    try:
        return future.result()
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - one broken candidate must not end the night
        return failed(policy, error, {})
