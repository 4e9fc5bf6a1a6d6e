"""The queue: one job holds the device, the others wait, and a client that is gone loses its job."""

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from paretune.errors import ParetuneError
from paretune.evaluators.measuring.failures import describe_failure
from paretune.evaluators.measuring.job import Job
from paretune.evaluators.measuring.result import Result

_LOG = logging.getLogger("paretune.agent")

_KEPT_LEASES = 10
"""How long an outcome waits for its client."""

_MOST_KEPT = 64


class MeasuringDevice(Protocol):
    """What runs the jobs; a `LocalDevice`."""

    def run(
        self,
        job: Job,
        *,
        on_note: Callable[[str], None],
        cancelled: Callable[[], bool],
    ) -> Result: ...

    def close(self) -> None: ...


class QueueFull(Exception):
    """Too many jobs wait."""


State = Literal["queued", "running", "done", "failed"]


@dataclass(eq=False)
class _Entry:
    job: Job
    paths: Job
    state: State = "queued"
    doing: str = ""
    outcome: bytes = b""
    polls: int = 0
    lease: asyncio.TimerHandle | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ended(self) -> bool:
        return self.state in ("done", "failed")


class JobQueue:
    """Runs jobs one at a time, in the order in which they came.

    All methods belong to the thread of the event loop, in which `run` must be running.

    Args:
        device: runs the jobs, in another thread.
        lease: seconds for which a job lives on after a sign of its client. The time is that of
            the event loop's clock, which does not jump.
        waiting: jobs that may wait.
    """

    def __init__(self, device: MeasuringDevice, lease: float, waiting: int) -> None:
        self._device = device
        self._lease = lease
        self._most_waiting = waiting
        self._entries: dict[str, _Entry] = {}
        self._arrived = asyncio.Event()
        self._over = False

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._entries

    def files_in_use(self) -> set[str]:
        """Hashes of the files of all jobs that wait or run."""
        active = [entry for entry in self._entries.values() if not entry.ended]
        return {digest for entry in active for digest in entry.job.files.values()}

    def submit(self, job_id: str, job: Job, paths: Job) -> None:
        """Add a job.

        Args:
            job: with hashes as its files.
            paths: the same with paths.

        Raises:
            QueueFull: come back later.
        """
        if len(list(self._queued())) >= self._most_waiting or self._over:
            raise QueueFull
        entry = self._entries[job_id] = _Entry(job, paths)
        self._renew(job_id, entry)
        self._arrived.set()

    def renew(self, job_id: str) -> None:
        """The client gave a sign.

        Raises:
            KeyError: no such job.
        """
        self._renew(job_id, self._entries[job_id])

    async def wait(self, job_id: str, seconds: float) -> bytes:
        """Wait for another state; at once if there will be none.

        Returns:
            the state as JSON.

        Raises:
            KeyError: no such job, or it was dropped meanwhile.
        """
        entry = self._entries[job_id]
        if not entry.ended:
            entry.polls += 1
            self._renew(job_id, entry)
            try:
                async with asyncio.timeout(seconds):
                    await entry.changed.wait()
            except TimeoutError:
                pass
            finally:
                entry.polls -= 1
        if self._entries.get(job_id) is not entry:
            raise KeyError(job_id)
        self._renew(job_id, entry)
        return self._described(job_id, entry)

    def cancel(self, job_id: str) -> None:
        """Forget a job, and end it where it runs; nothing if there is none."""
        entry = self._entries.pop(job_id, None)
        if entry is None:
            return
        if entry.lease is not None:
            entry.lease.cancel()
        entry.cancelled.set()
        entry.changed.set()

    def end(self) -> None:
        """Cancel all jobs and take no more; `run` returns soon after."""
        self._over = True
        for job_id in list(self._entries):
            self.cancel(job_id)
        self._arrived.set()

    async def run(self) -> None:
        """Run jobs until `end`."""
        while not self._over:
            self._arrived.clear()
            job_id = next(self._queued(), None)
            if job_id is None:
                await self._arrived.wait()
            else:
                await self._run_one(job_id, self._entries[job_id])

    def _queued(self) -> Iterator[str]:
        return (key for key, entry in self._entries.items() if entry.state == "queued")

    async def _run_one(self, job_id: str, entry: _Entry) -> None:
        self._change(entry, "running")
        state, outcome = await asyncio.to_thread(self._outcome, entry)
        if entry.cancelled.is_set():
            return
        entry.outcome = outcome
        self._change(entry, state)
        self._renew(job_id, entry)
        ended = [key for key, other in self._entries.items() if other.ended]
        for key in ended[:-_MOST_KEPT]:
            self.cancel(key)

    def _outcome(self, entry: _Entry) -> tuple[State, bytes]:
        def note(text: str) -> None:
            # Wakes nobody: the measurement goes on beside.
            entry.doing = text

        try:
            result = self._device.run(
                entry.paths, on_note=note, cancelled=entry.cancelled.is_set
            ).to_dict()
            return "done", _json({"state": "done", "result": result})
        except ParetuneError as error:
            failure = describe_failure(error)
        except OSError as error:
            # A full disk, no more processes: the client's job is not to blame.
            failure = {"kind": "transient", "message": str(error)}
        except Exception as error:  # noqa: BLE001
            # The agent goes on; its log shows the bug.
            _LOG.exception("a job failed for a reason that is a bug")
            failure = {"kind": "transient", "message": f"the agent has a bug: {error!r}"}
        return "failed", _json({"state": "failed", "error": failure})

    def _described(self, job_id: str, entry: _Entry) -> bytes:
        if entry.state == "queued":
            return _json({"state": "queued", "position": list(self._queued()).index(job_id) + 1})
        if entry.state == "running":
            return _json({"state": "running", "doing": entry.doing})
        return entry.outcome

    def _change(self, entry: _Entry, state: State) -> None:
        entry.state = state
        entry.changed.set()
        entry.changed = asyncio.Event()

    def _renew(self, job_id: str, entry: _Entry) -> None:
        if entry.lease is not None:
            entry.lease.cancel()
            entry.lease = None
        if not entry.polls:
            seconds = self._lease * (_KEPT_LEASES if entry.ended else 1)
            entry.lease = asyncio.get_running_loop().call_later(seconds, self.cancel, job_id)


def _json(data: Any) -> bytes:
    return json.dumps(data).encode()
