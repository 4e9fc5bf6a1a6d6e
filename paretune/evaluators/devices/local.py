"""This host as a device: jobs run in measuring processes."""

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from paretune.errors import (
    CandidateError,
    InferenceError,
    ParetuneError,
    TransientError,
    UserError,
)
from paretune.evaluators.devices.device import SECTION_KEYS
from paretune.evaluators.measuring.conditions import machine_id
from paretune.evaluators.measuring.failures import failure
from paretune.evaluators.measuring.job import Job, Setup
from paretune.evaluators.measuring.result import Result
from paretune.evaluators.processes.worker import Worker
from paretune.names import nearest

_COMMAND = (sys.executable, "-P", "-m", "paretune.evaluators.measuring.worker")
_START_SECONDS = 120.0
_MOST_PROCESSES = 4


class LocalPlugin:
    """The device `local`; it has no options of its own."""

    @staticmethod
    def connect(name: str, options: Mapping[str, Any]) -> "LocalDevice":
        """Nothing is started yet.

        Raises:
            UserError: an option.
        """
        for option in options:
            raise UserError(
                f"device '{name}': unknown key '{option}'{nearest(option, SECTION_KEYS)}"
            )
        return LocalDevice()


@dataclass(frozen=True)
class _Running:
    worker: Worker
    memory: int | None


HOST = threading.Lock()
"""Held while something is measured on this host; what else takes its time waits for it."""


class LocalDevice:
    """Runs one job at a time, in a process that stays for all jobs of the same setup.

    A job of kind `memory` has a process to itself. A process that died, or was ended at a limit,
    is replaced by the next job.
    """

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="paretune-device-")
        self._running: dict[str, _Running] = {}
        self._started = 0

    @property
    def machine(self) -> str:
        return machine_id()

    def run(
        self,
        job: Job,
        *,
        on_note: Callable[[str], None] = lambda _: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Result:
        """Measure; the calling thread sleeps meanwhile.

        Args:
            on_note: is told what is being done.
            cancelled: asked once a second; when true, the job ends with a `TransientError`.

        Raises:
            InferenceError, CandidateError, Infeasible, TransientError, UserError: as `Device.run`.
        """
        key = _json(job.setup.to_dict())
        with HOST:
            worker = self._worker(key, job, cancelled)
            try:
                reply = worker.ask(
                    _json(job.to_dict()).encode(),
                    seconds=job.limits.seconds,
                    on_note=on_note,
                    cancelled=cancelled,
                )
                return Result.from_dict(_checked(reply)["result"])
            except InferenceError:
                raise
            except CandidateError:
                # Also where it still lives: memory that ran out may have left anything behind.
                self._end(key)
                raise
            finally:
                if job.kind == "memory":
                    self._end(key)

    def close(self) -> None:
        """End all processes and remove their files."""
        with HOST:
            for key in list(self._running):
                self._end(key)
            self._folder.cleanup()

    def _worker(self, key: str, job: Job, cancelled: Callable[[], bool]) -> Worker:
        running = self._running.get(key)
        if running is not None:
            fits = running.memory == job.limits.memory and job.kind != "memory"
            if fits and running.worker.alive:
                return running.worker
            self._end(key)
        if len(self._running) >= _MOST_PROCESSES:
            self._end(next(iter(self._running)))
        self._started += 1
        worker = Worker(
            _COMMAND,
            Path(self._folder.name) / f"{self._started}.log",
            name="the measuring process",
            memory=job.limits.memory,
            env=measuring_environment(job.setup),
        )
        self._running[key] = _Running(worker, job.limits.memory)
        try:
            setup = _json(job.setup.to_dict()).encode()
            _checked(worker.ask(setup, seconds=_START_SECONDS, cancelled=cancelled))
        except ParetuneError as error:
            self._end(key)
            if not isinstance(error, CandidateError):
                raise
            # Not the candidate's fault: it has not been loaded yet.
            limit = job.limits.memory
            within = "" if limit is None else f" in {limit / 2**20:,.0f} MiB of memory"
            raise TransientError(
                f"runtime '{job.setup.runtime}' did not start{within}: {error}"
            ) from error
        return worker

    def _end(self, key: str) -> None:
        if running := self._running.pop(key, None):
            running.worker.close()


def _json(data: Any) -> str:
    return json.dumps(data, sort_keys=True)


def _checked(reply: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(reply)
    if "error" in answer:
        raise failure(answer["error"])
    return answer


def measuring_environment(setup: Setup) -> dict[str, str]:
    """What a measuring process needs in its environment."""
    environment = {
        **os.environ,
        # A runtime with OpenMP would otherwise take all cores.
        "OMP_NUM_THREADS": str(setup.threads),
        # NumPy's own threads do nothing here but take memory.
        "OPENBLAS_NUM_THREADS": "1",
    }
    home = Path(__file__).parents[3]
    # A zipapp is on the path of its own process only.
    if home.is_file():
        known = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([str(home), *([known] if known else [])])
    return environment
