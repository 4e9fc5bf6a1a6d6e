"""The workers of a cluster as one place: jobs go wherever one is free."""

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Protocol

import distributed
from distributed.scheduler import KilledWorker

from paretune.errors import TransientError, UserError
from paretune.search.attempt import Job
from paretune.search.cluster.work import Refused, Workplace, work
from paretune.search.trial import Trial


class Scheduled(Protocol):
    """A cluster that one can compute on."""

    @property
    def client(self) -> distributed.Client: ...
    def slots(self) -> int: ...


class Workers:
    """Sends a workplace to all workers, those that join later included, and then jobs.

    The job of a worker that dies goes to another one. A context manager.
    """

    def __init__(
        self, cluster: Scheduled, workplace: Workplace, warn: Callable[[str], None]
    ) -> None:
        """Args:
        workplace: attempts the jobs.
        warn: is told of workers that cannot take part, and when none is there.
        """
        self._cluster = cluster
        self._workplace = workplace
        self._lost: list[tuple[Future[Trial], Job]] = []
        self._warn = warn
        self._refused: set[str] = set()
        self._alone = False
        self._tasks: dict[Future[Trial], distributed.Future[Trial]] = {}
        self._lock = threading.Lock()
        cluster.client.register_plugin(workplace)

    def slots(self) -> int:
        """How many jobs run at the same time now."""
        slots = self._cluster.slots()
        if (slots == 0) is not self._alone:
            self._alone = slots == 0
            self._warn("no worker is there, waiting" if self._alone else "workers are there again")
            if not self._alone:
                self._begin_again()
        return slots

    def attempt(self, job: Job) -> "Future[Trial]":
        """Let a worker attempt a job.

        Returns:
            the trial. It raises `TransientError` if workers died on it again and again, `UserError`
            if none of those that are there can take part.
        """
        promise: Future[Trial] = Future()
        self._launch(promise, job)
        return promise

    def close(self) -> None:
        """Give up what is not done, and remove the workplace from the workers."""
        with self._lock:
            tasks, self._tasks = list(self._tasks.values()), {}
        client = self._cluster.client
        # A scheduler that has gone has forgotten them, too.
        if client.status != "running":
            return
        with suppress(OSError, RuntimeError, TimeoutError):
            client.cancel(tasks, force=True)
            client.unregister_worker_plugin(self._workplace.name)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _launch(self, promise: "Future[Trial]", job: Job) -> None:
        task = self._cluster.client.submit(work, self._workplace.name, job, pure=False)
        # Dask forgets what nobody holds.
        with self._lock:
            self._tasks[promise] = task

        def done(task: "distributed.Future[Trial]") -> None:
            try:
                try:
                    trial = task.result()
                except Refused as refused:
                    if not self._retire(refused):
                        raise UserError(f"no worker can take part: {refused.why}") from None
                    self._launch(promise, job)
                    return
                promise.set_result(trial)
            except KilledWorker:
                promise.set_exception(TransientError("the workers that it ran on died, one by one"))
            except CancelledError:
                # The scheduler has gone, and its memory with it.
                with self._lock:
                    self._lost.append((promise, job))
                return
            except BaseException as error:  # noqa: BLE001 - whoever waits for it shall know
                promise.set_exception(error)
            with self._lock:
                self._tasks.pop(promise, None)

        task.add_done_callback(done)

    def _begin_again(self) -> None:
        """A scheduler that was started again knows nothing of what it was asked before."""
        with self._lock:
            lost, self._lost = self._lost, []
        if lost:
            self._cluster.client.register_plugin(self._workplace)
        for promise, job in lost:
            self._launch(promise, job)

    def _retire(self, refused: Refused) -> bool:
        """Send a worker away; whether others are there."""
        with self._lock:
            known = refused.worker in self._refused
            self._refused.add(refused.worker)
        client = self._cluster.client
        if not known:
            self._warn(f"the worker {refused.worker} cannot take part: {refused.why}")
            with suppress(OSError, RuntimeError, TimeoutError):
                client.retire_workers([refused.worker], close_workers=True)
        return bool(client.nthreads().keys() - self._refused)
