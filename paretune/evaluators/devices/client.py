"""The agent's HTTP API, one method a request. What it answers becomes a value or an exception."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from paretune.errors import TransientError, UserError
from paretune.evaluators.devices.files import SentFile
from paretune.evaluators.devices.patience import Unreachable
from paretune.evaluators.devices.protocol import PROTOCOL
from paretune.evaluators.measuring.failures import failure
from paretune.evaluators.measuring.job import Job
from paretune.evaluators.measuring.result import Result

_UNTRUSTED = {401, 403}
_LATER = {408, 429}
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 15.0
_SYNC_SECONDS = 60.0
"""What a slow SD card may need to store a file after its last byte."""

_LATE = 1.6
"""Of the time of a poll, when it is taken for lost; in time before the lease ends."""


class Refused(Unreachable):
    """The agent does not accept the token; it may have been started anew with another one."""


class JobLost(Exception):
    """The agent does not know the job: it was restarted, or heard nothing for too long."""


class FilesMissing(Exception):
    """The agent lacks files of a job.

    Args:
        digests: SHA-256 of each.
    """

    def __init__(self, digests: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(digests)))
        self.digests = digests


@dataclass(frozen=True)
class About:
    """What an agent says of itself.

    Attributes:
        protocol: version of its API.
        version: of Paretune there.
        machine: identifies the hardware.
        host: its name there.
        runtimes: that are installed.
        file_bytes: of the largest file that it takes.
        lease_seconds: without a sign of the client, after which it drops a job.
    """

    protocol: int
    version: str
    machine: str
    host: str
    runtimes: tuple[str, ...]
    file_bytes: int
    lease_seconds: float


class AgentClient:
    """Speaks to one agent.

    Every method raises `Unreachable` where trying again may help.

    Args:
        name: of the device, for messages.
        http: knows the address and the token.
        patience: seconds that answers may take at most.
    """

    def __init__(self, name: str, http: httpx2.Client, patience: float) -> None:
        self._name = name
        self._http = http
        self._patience = patience

    def about(self) -> About:
        """Ask what it is.

        Raises:
            UserError: it is something else, or of another version.
        """
        response = self._send("GET", "/v1/about")
        data = _json(response)
        if not response.is_success or "protocol" not in data:
            raise UserError(
                f"device '{self._name}': what answers is no device agent of Paretune"
                f" ({_reason(response)}); is the address right?"
            )
        if data["protocol"] != PROTOCOL:
            raise UserError(
                f"device '{self._name}' speaks version {data['protocol']} of the protocol (Paretune"
                f" {data.get('version', 'unknown')}), but here it is version {PROTOCOL}; install"
                " the same version of Paretune on both"
            )
        known = {field: data[field] for field in About.__dataclass_fields__}
        return About(**{**known, "runtimes": tuple(data["runtimes"])})

    def has(self, digest: str) -> bool:
        """Whether a file is there."""
        return self._send("HEAD", f"/v1/files/{digest}").is_success

    def upload(self, file: SentFile) -> None:
        """Bring a file there.

        Raises:
            UserError: it is larger than allowed.
            TransientError: the file has changed meanwhile.
        """
        with file.path.open("rb") as content:
            response = self._send(
                "PUT",
                f"/v1/files/{file.sha256}",
                content=content,
                headers={"Content-Length": str(file.size)},
                seconds=_SYNC_SECONDS,
            )
        if response.status_code == httpx2.codes.CONTENT_TOO_LARGE:
            raise UserError(f"device '{self._name}' refuses '{file.path}': {_reason(response)}")
        if not response.is_success:
            raise TransientError(
                f"device '{self._name}' refuses '{file.path}': {_reason(response)}"
            )

    def submit(self, job_id: str, job: Job) -> None:
        """Hand a job over; doing it twice with the same id is doing it once.

        Args:
            job_id: 32 hex digits.
            job: with SHA-256 as its files.

        Raises:
            FilesMissing: upload them first.
            UserError: the agent does not understand the job.
        """
        body = {"id": job_id, "job": job.to_dict()}
        response = self._send("POST", "/v1/jobs", json=body)
        if response.status_code == httpx2.codes.CONFLICT:
            raise FilesMissing(frozenset(_json(response).get("missing", ())))
        if not response.is_success:
            raise UserError(f"device '{self._name}' refuses the job: {_reason(response)}")

    def poll(self, job_id: str, seconds: float) -> Result | None:
        """Wait for news of a job.

        Args:
            seconds: to wait at most.

        Returns:
            its result, or None if it is still queued or running.

        Raises:
            JobLost: the agent does not know it.
            InferenceError, CandidateError, Infeasible, TransientError, UserError: it failed.
        """
        response = self._send(
            "GET",
            f"/v1/jobs/{job_id}",
            params={"wait": f"{seconds:g}"},
            seconds=max(_LATE * seconds, seconds + 1),
        )
        if response.status_code == httpx2.codes.NOT_FOUND:
            raise JobLost
        data = _json(response)
        state = data.get("state")
        try:
            if state == "done":
                return Result.from_dict(data["result"])
            error = failure(data["error"]) if state == "failed" else None
        except (KeyError, ValueError) as cause:
            raise TransientError(f"device '{self._name}' answers strangely: {cause}") from cause
        if error is not None:
            raise type(error)(f"device '{self._name}': {error}")
        if state not in ("queued", "running"):
            raise Unreachable(f"it answers strangely: {_reason(response)}")
        return None

    def cancel(self, job_id: str) -> None:
        """Give a job up."""
        self._send("DELETE", f"/v1/jobs/{job_id}")

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _send(
        self, method: str, path: str, *, seconds: float | None = None, **content: Any
    ) -> httpx2.Response:
        timeout = httpx2.Timeout(
            seconds or min(_ANSWER_SECONDS, self._patience),
            connect=min(_CONNECT_SECONDS, self._patience),
        )
        try:
            response = self._http.request(method, path, timeout=timeout, **content)
        except httpx2.RequestError as error:
            raise Unreachable(str(error) or type(error).__name__) from error
        if response.status_code in _UNTRUSTED:
            raise Refused(_reason(response))
        if response.is_server_error or response.status_code in _LATER:
            raise Unreachable(_reason(response))
        return response


def _json(response: httpx2.Response) -> Mapping[str, Any]:
    try:
        data = response.json()
    except ValueError:
        return {}
    return data if isinstance(data, Mapping) else {}


def _reason(response: httpx2.Response) -> str:
    return str(
        _json(response).get("error") or f"{response.reason_phrase}, HTTP {response.status_code}"
    )
