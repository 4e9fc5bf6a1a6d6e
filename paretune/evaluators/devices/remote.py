"""A device that is somewhere else: its agent does the work, and may go away and come back."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from threading import Event
from uuid import uuid4

import httpx2

from paretune.errors import CandidateError, ParetuneError, TransientError, UserError
from paretune.evaluators.devices.client import About, AgentClient, FilesMissing, JobLost, Refused
from paretune.evaluators.devices.files import SentFile, sent_file
from paretune.evaluators.devices.patience import Patience, Unreachable
from paretune.evaluators.measuring.job import Job
from paretune.evaluators.measuring.result import Result
from paretune.names import nearest

_START_SECONDS = 5.0
_CLOSE_SECONDS = 5.0
_LONGEST_POLL = 25.0
_SUBMISSIONS = 3


def connect_agent(name: str, http: httpx2.Client, patience: float, place: str) -> "RemoteDevice":
    """Greet the agent that `http` leads to, which is the device's from now on.

    Args:
        name: of the device, for messages.
        patience: seconds to wait for it when it is away later; now it is some seconds at most.
        place: where it should be, for messages.

    Raises:
        UserError: no agent answers, it refuses the token, or speaks another protocol.
    """
    agent = AgentClient(name, http, patience)
    try:
        return RemoteDevice(name, agent, _greeted(name, agent, patience, place), patience)
    except BaseException:
        agent.close()
        raise


def _greeted(name: str, agent: AgentClient, patience: float, place: str) -> About:
    def ask() -> About:
        try:
            return agent.about()
        except Refused as error:
            raise UserError(f"device '{name}' at {place} refuses the token: {error}") from error

    try:
        return Patience(name, min(_START_SECONDS, patience)).keep(ask)
    except TransientError as error:
        advice = "is `paretune device serve` running there?"
        if "CERTIFICATE" in str(error.__cause__):
            advice = "the option 'ca' names the file with the certificate to trust"
        raise UserError(
            f"device '{name}' does not answer at {place}: {error.__cause__}; {advice}"
        ) from error


class RemoteDevice:
    """Sends jobs to an agent, and waits for it where it goes away.

    Args:
        name: for messages.
        agent: speaks to it.
        about: what it said of itself.
        patience: seconds to wait for it.
    """

    def __init__(self, name: str, agent: AgentClient, about: About, patience: float) -> None:
        self._name = name
        self._agent = agent
        self._about = about
        self._patience = Patience(name, patience)
        self._there: set[str] = set()
        self._poll_seconds = min(_LONGEST_POLL, about.lease_seconds / 2, patience)
        self._job_id: str | None = None
        self._idle = Event()
        self._idle.set()

    @property
    def machine(self) -> str:
        return self._about.machine

    def run(self, job: Job) -> Result:
        """Measure there.

        Raises:
            InferenceError, CandidateError, Infeasible, TransientError, UserError: as `Device.run`;
                a job that the agent loses three times is taken to have ended the agent.
        """
        files = [sent_file(role, Path(path)) for role, path in job.files.items()]
        self._check(job, files)
        job = replace(job, files={file.role: file.sha256 for file in files})
        self._idle.clear()
        try:
            for _ in range(_SUBMISSIONS):
                try:
                    return self._run_once(job, files)
                except JobLost:
                    continue
        finally:
            self._job_id = None
            self._idle.set()
        raise CandidateError(
            f"device '{self._name}' was lost and came back {_SUBMISSIONS} times while measuring;"
            " the candidate is taken to be the cause"
        )

    def close(self) -> None:
        """Cancel what runs, in whatever thread, and close the connections."""
        self._patience.end()
        if self._job_id is not None:
            self._cancel(self._job_id)
            self._idle.wait(_CLOSE_SECONDS)
        self._agent.close()

    def _check(self, job: Job, files: Collection[SentFile]) -> None:
        runtime, known = job.setup.runtime, self._about.runtimes
        if runtime not in known:
            raise UserError(
                f"device '{self._name}': the runtime '{runtime}' is not installed there"
                f"{nearest(runtime, known)}"
            )
        for file in files:
            if file.size > self._about.file_bytes:
                raise UserError(
                    f"device '{self._name}': '{file.path}' has {file.size:,} bytes, but the agent"
                    f" takes files of {self._about.file_bytes:,} bytes at most"
                )

    def _run_once(self, job: Job, files: Collection[SentFile]) -> Result:
        job_id = self._job_id = uuid4().hex
        try:
            self._submit(job_id, job, files)
            while True:
                result = self._patience.keep(lambda: self._agent.poll(job_id, self._poll_seconds))
                if result is not None:
                    return result
        except JobLost:
            if self._patience.over:
                raise TransientError(f"device '{self._name}' is closed") from None
            raise
        except ParetuneError:
            raise
        except BaseException:
            # Interrupted: the device is for others now.
            self._cancel(job_id)
            raise

    def _submit(self, job_id: str, job: Job, files: Collection[SentFile]) -> None:
        missing: frozenset[str] = frozenset()
        for _ in range(_SUBMISSIONS):
            for file in files:
                self._bring(file)
            try:
                return self._patience.keep(lambda: self._agent.submit(job_id, job))
            except FilesMissing as error:
                missing = error.digests
                self._there -= missing
        raise TransientError(
            f"device '{self._name}' does not keep the files that are sent to it:"
            f" {', '.join(file.path.name for file in files if file.sha256 in missing)}"
        )

    def _bring(self, file: SentFile) -> None:
        if file.sha256 in self._there:
            return
        if not self._patience.keep(lambda: self._agent.has(file.sha256)):
            self._patience.keep(lambda: self._agent.upload(file))
        self._there.add(file.sha256)

    def _cancel(self, job_id: str) -> None:
        try:
            self._agent.cancel(job_id)
        except Unreachable:
            # It will notice by itself that nobody asks for the result.
            return
