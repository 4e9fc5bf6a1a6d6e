"""The HTTP API, with a device that the test controls."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from paretune.evaluators.devices.agent.app import Api
from paretune.evaluators.devices.agent.files import FileStore
from paretune.evaluators.devices.agent.queue import JobQueue
from paretune.evaluators.devices.agent.requests import Allowance
from tests.evaluators.devices.agent.fake import JOB, RESULT, FakeDevice

TOKEN = "a-token-that-nobody-guesses"
MODEL = b"a model"
DIGEST = hashlib.sha256(MODEL).hexdigest()
ID = "01" * 16


@pytest.fixture
def device() -> FakeDevice:
    return FakeDevice()


@pytest.fixture
def client(device: FakeDevice, tmp_path: Path) -> Iterator[TestClient]:
    queue = JobQueue(device, lease=1e4, waiting=2)
    files = FileStore(tmp_path, 1000, queue.files_in_use)
    allowance = Allowance(("onnxruntime",), (0,), 100.0, 1 << 30)
    about = {"version": "1", "machine": "m", "host": "h", "runtimes": ["onnxruntime"]}
    app = Api(queue, files, allowance, 500, about, patience=5).app(TOKEN)
    with TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


def request(job_id: str = ID, **changes: Any) -> dict[str, Any]:
    job = replace(JOB, files={"model": DIGEST, "inputs": DIGEST}, **changes)
    return {"id": job_id, "job": job.to_dict()}


def put(client: TestClient, content: bytes = MODEL, digest: str = DIGEST) -> int:
    return client.put(f"/v1/files/{digest}", content=content).status_code


def state(client: TestClient, wait: float = 10, job_id: str = ID) -> Any:
    return client.get(f"/v1/jobs/{job_id}", params={"wait": wait}).json()


def test_about(client: TestClient) -> None:
    about = client.get("/v1/about").json()
    assert about["protocol"] == 1
    assert about["file_bytes"] == 500
    assert about["machine"] == "m"


def test_files(client: TestClient) -> None:
    assert client.head(f"/v1/files/{DIGEST}").status_code == 404
    assert put(client) == 201
    assert client.head(f"/v1/files/{DIGEST}").status_code == 200
    assert put(client) == 200
    assert put(client, b"another", "cd" * 32) == 400
    assert client.head(f"/v1/files/{'cd' * 32}").status_code == 404


def test_files_that_are_too_large(client: TestClient) -> None:
    answer = client.put(f"/v1/files/{DIGEST}", content=b"x" * 501)
    assert answer.status_code == 413
    assert "at most 500 bytes" in answer.json()["error"]


def test_uploads_need_a_length(client: TestClient) -> None:
    assert client.put(f"/v1/files/{DIGEST}", content=iter([MODEL])).status_code == 411


def test_a_store_full_of_files_in_use(client: TestClient, device: FakeDevice) -> None:
    contents = [bytes([i]) * 450 for i in range(3)]
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    for content, digest in zip(contents[:2], digests[:2], strict=True):
        assert put(client, content, digest) == 201
    used = request()
    used["job"]["files"] = {"model": digests[0], "inputs": digests[1]}
    assert client.post("/v1/jobs", json=used).status_code == 202
    answer = client.put(f"/v1/files/{digests[2]}", content=contents[2])
    assert answer.status_code == 507
    assert "no room" in answer.json()["error"]
    device.finish()
    while state(client)["state"] != "done":
        pass
    assert put(client, contents[2], digests[2]) == 201


def test_a_job_from_first_to_last(client: TestClient, device: FakeDevice) -> None:
    missing = client.post("/v1/jobs", json=request())
    assert (missing.status_code, missing.json()["missing"]) == (409, [DIGEST])
    put(client)
    # As often as the client likes: it may not have heard the answer.
    assert [client.post("/v1/jobs", json=request()).status_code for _ in range(2)] == [202, 202]
    while state(client, 0.01)["state"] != "running":
        pass
    device.finish()
    done = state(client)
    assert done["state"] == "done"
    assert done["result"]["figures"]["latency"] == {"value": 1.0, "low": 0.9, "high": 1.1}
    assert done["result"]["flags"] == list(RESULT.flags)
    assert client.post("/v1/jobs", json=request()).status_code == 202
    assert state(client) == done
    (ran,) = device.seen
    assert Path(ran.files["model"]).read_bytes() == MODEL
    assert client.delete(f"/v1/jobs/{ID}").status_code == 204
    assert client.get(f"/v1/jobs/{ID}").status_code == 404


def test_cancelling(client: TestClient, device: FakeDevice) -> None:
    put(client)
    client.post("/v1/jobs", json=request())
    while not device.seen:
        pass
    assert client.delete(f"/v1/jobs/{ID}").status_code == 204
    assert client.get(f"/v1/jobs/{ID}").status_code == 404
    # Also of what is not there.
    assert client.delete(f"/v1/jobs/{ID}").status_code == 204


def test_a_full_queue(client: TestClient, device: FakeDevice) -> None:
    put(client)
    ids = [f"{i:032x}" for i in range(4)]
    assert client.post("/v1/jobs", json=request(ids[0])).status_code == 202
    while not device.seen:
        pass
    codes = [client.post("/v1/jobs", json=request(job_id)).status_code for job_id in ids[1:]]
    assert codes == [202, 202, 429]
    assert state(client, 0, ids[2]) == {"state": "queued", "position": 2}


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/about/", 404),
        ("POST", "/v1/about", 405),
        ("GET", f"/v1/files/{DIGEST}", 405),
        ("PUT", "/v1/files/..", 404),
        ("PUT", "/v1/files/%2e%2e", 400),
        ("PUT", f"/v1/files/{DIGEST}%0a", 400),
        ("PUT", f"/v1/files/{DIGEST}%00", 400),
        ("PUT", f"/v1/files/{DIGEST.upper()}", 400),
        ("PUT", "/v1/files/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404),
        ("GET", "/v1/jobs/%2e%2e", 400),
        ("GET", f"/v1/jobs/{ID.upper()}ab", 400),
        ("DELETE", "/v1/jobs/x", 400),
        ("GET", f"/v1/jobs/{ID}?wait=x", 400),
        ("GET", f"/v1/jobs/{ID}?wait=nan", 400),
        ("GET", f"/v1/jobs/{ID}?wait=-1", 400),
        ("GET", f"/v1/jobs/{ID}?wait=inf", 404),
    ],
)
def test_what_is_not_there(client: TestClient, method: str, path: str, code: int) -> None:
    answer = client.request(method, path, content=b"x" if method == "PUT" else None)
    assert answer.status_code == code
    assert answer.json()["error"]


@pytest.mark.parametrize("size", [1 << 20, 1 << 21])
def test_requests_have_a_size(client: TestClient, size: int) -> None:
    padded = b"[" + b" " * (size - 2) + b"]"
    answer = client.post("/v1/jobs", content=padded)
    assert answer.status_code == (400 if size == 1 << 20 else 413)
    undeclared = client.post("/v1/jobs", content=iter([padded]))
    assert undeclared.status_code == answer.status_code


def test_messages_are_short(client: TestClient) -> None:
    answer = client.post("/v1/jobs", json=request() | {"id": "x" * 100_000})
    assert answer.status_code == 400
    assert len(answer.content) < 600


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer  {TOKEN}",
        "Bearer \xff\xfe",
    ],
)
def test_strangers_learn_nothing(client: TestClient, header: str | None) -> None:
    del client.headers["Authorization"]
    headers = {} if header is None else {b"Authorization": header.encode("latin-1")}
    for method, path in (
        ("GET", "/v1/about"),
        ("HEAD", f"/v1/files/{DIGEST}"),
        ("PUT", f"/v1/files/{DIGEST}"),
        ("POST", "/v1/jobs"),
        ("GET", f"/v1/jobs/{ID}"),
        ("DELETE", f"/v1/jobs/{ID}"),
        ("GET", "/nowhere"),
    ):
        assert client.request(method, path, headers=headers).status_code == 401


def test_two_tokens_are_none(client: TestClient) -> None:
    del client.headers["Authorization"]
    headers = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer wrong")]
    assert client.get("/v1/about", headers=headers).status_code == 401


def test_the_scheme_is_case_insensitive(client: TestClient) -> None:
    headers = {"Authorization": f"bearer {TOKEN}"}
    assert client.get("/v1/about", headers=headers).status_code == 200
