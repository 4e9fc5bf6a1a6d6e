"""An agent that answers as a test wants: for faults that a real one shows once in a year."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2

from paretune.evaluators.devices.remote import RemoteDevice, connect_agent
from paretune.evaluators.measuring.job import INPUTS, MODEL, Job, Limits, Setup
from paretune.evaluators.measuring.result import Estimate, Result

ABOUT = {
    "protocol": 1,
    "version": "0",
    "machine": "m",
    "host": "board",
    "runtimes": ["onnxruntime"],
    "file_bytes": 1000,
    "lease_seconds": 60.0,
}
RESULT = Result({"median": Estimate(2.0, 1.9, 2.1)}, {"n": 3}, {"cpu": "x"}, ("disturbed",))
Answer = httpx2.Response | Exception
Fault = Callable[[httpx2.Request], Answer | None]


class ScriptedAgent:
    """Keeps files and jobs in memory; `fault` may answer first.

    Attributes:
        requests: what came, as `POST jobs`.
        files: content by SHA-256.
        jobs: by id.
        about: what it says of itself.
        outcome: of every job.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.files: dict[str, bytes] = {}
        self.jobs: dict[str, Any] = {}
        self.about: dict[str, Any] = dict(ABOUT)
        self.outcome: dict[str, Any] = {"state": "done", "result": RESULT.to_dict()}
        self.fault: Fault = lambda _: None

    def device(self, *, patience: float = 1.0) -> RemoteDevice:
        """A client of it."""
        http = httpx2.Client(base_url="http://board", transport=httpx2.MockTransport(self._answer))
        return connect_agent("pi", http, patience, "http://board")

    def count(self, pattern: str) -> int:
        """How many requests were like this."""
        return sum(re.fullmatch(pattern, request) is not None for request in self.requests)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        body = request.read()
        parts = request.url.path.removeprefix("/v1/").split("/")
        self.requests.append(f"{request.method} {parts[0]}")
        answer = self.fault(request)
        if isinstance(answer, Exception):
            raise answer
        return answer or self._usual(request.method, parts, body)

    def _usual(self, method: str, parts: list[str], body: bytes) -> httpx2.Response:
        match method, parts:
            case "GET", ["about"]:
                return httpx2.Response(200, json=self.about)
            case "HEAD", ["files", digest]:
                return httpx2.Response(200 if digest in self.files else 404)
            case "PUT", ["files", digest]:
                self.files[digest] = body
                return httpx2.Response(201, json={})
            case "POST", ["jobs"]:
                data = json.loads(body)
                job = Job.from_dict(data["job"])
                if missing := sorted(set(job.files.values()) - set(self.files)):
                    return error(409, "files are missing", missing=missing)
                self.jobs[data["id"]] = job
                return httpx2.Response(202, json={})
            case "GET", ["jobs", job_id]:
                if job_id not in self.jobs:
                    return error(404, "no such job")
                return httpx2.Response(200, json=self.outcome)
            case "DELETE", ["jobs", job_id]:
                self.jobs.pop(job_id, None)
                return httpx2.Response(204)
        raise AssertionError((method, parts))


def error(status: int, text: str, **more: Any) -> httpx2.Response:
    """An agent's refusal."""
    return httpx2.Response(status, json={"error": text, **more})


def once(method: str, answer: Answer, *, path: str = "", times: int = 1) -> Fault:
    """A fault that hits the first requests of a kind."""
    left = [times]

    def fault(request: httpx2.Request) -> Answer | None:
        if request.method != method or path not in request.url.path or not left[0]:
            return None
        left[0] -= 1
        return answer

    return fault


def small_job(folder: Path) -> Job:
    """A job whose model is no real one."""
    (folder / "model.onnx").write_bytes(b"model")
    (folder / "inputs.npz").write_bytes(b"inputs")
    files = {MODEL: str(folder / "model.onnx"), INPUTS: str(folder / "inputs.npz")}
    return Job("latency", Setup(cpus=(1,)), files, {"target": 0.01}, Limits(60))
