"""A real agent under attack: everything is refused or cut off, and then it still measures."""

import hashlib
import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote as urlquote
from urllib.parse import urlsplit

import httpx2
import numpy as np
import onnx
import pytest

from paretune.errors import InferenceError, ParetuneError
from paretune.evaluators.devices.http import HttpPlugin
from paretune.evaluators.measuring.job import INPUTS, MODEL, Job
from paretune.evaluators.measuring.result import Result
from tests.evaluators.devices.agent.sockets import rest
from tests.evaluators.devices.running import TOKEN, AgentProcess, real_job

PATIENCE = 1.0
LARGEST = 100_000
SEED = 20250


class Target(AgentProcess):
    """An agent, and all around it that it must not touch."""

    def __init__(self, surroundings: Path) -> None:
        self.surroundings = surroundings
        for name in ("file", "home/file"):
            path = surroundings / name
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text("mine")
        super().__init__(
            surroundings,
            *("--max-file", str(LARGEST), "--patience", str(PATIENCE)),
            env={"HOME": str(surroundings / "home")},
        )
        self.address = ("127.0.0.1", urlsplit(self.url).port or 0)

    def around(self) -> dict[str, tuple[int, int, bytes]]:
        """All files and folders but the agent's own."""
        found = (path for path in self.surroundings.rglob("*") if path != self.log)
        return {
            str(path): (path.lstat().st_mode, path.lstat().st_mtime_ns, _content(path))
            for path in found
            if self.folder not in (path, *path.parents)
        }

    def inside(self) -> set[str]:
        """Its own files, but those of the measuring processes."""
        names = {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}
        return {name for name in names if not name.startswith("scratch/")}

    def client(self, token: str = TOKEN) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=20)

    def connect(self, data: bytes = b"") -> socket.socket:
        client = socket.create_connection(self.address, timeout=20)
        client.sendall(data)
        return client

    def say(self, data: bytes, *, hang_up: bool = False) -> bytes:
        """What it answers to these bytes until it closes the connection.

        Args:
            hang_up: say that no more will come; it then need not answer.
        """
        client = self.connect()
        with suppress(OSError):
            # It may have heard enough.
            client.sendall(data)
            if hang_up:
                client.shutdown(socket.SHUT_WR)
        return rest(client)

    def run(self, job: Job) -> Result:
        """Do a whole job: files up, a real model measured, the result back."""
        device = HttpPlugin.connect("target", self.options)
        try:
            return device.run(job)
        finally:
            device.close()


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return real_job(tmp_path_factory.mktemp("job"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, job: Job) -> Iterator[Target]:
    target = Target(tmp_path_factory.mktemp("attack"))
    target.run(job)
    yield target
    target.close()


@pytest.fixture
def target(running: Target, job: Job) -> Iterator[Target]:
    """An attack leaves nothing behind, and an agent that still measures."""
    around, inside = running.around(), running.inside()
    yield running
    assert running.run(job).figures["load"].value > 0
    assert running.around() == around
    assert running.inside() == inside
    assert not list(Path("/tmp").glob("pwned*"))
    assert "Traceback" not in running.log.read_text()


HASH = "ab" * 32
JOB_ID = "cd" * 16
TRICKS = (
    "..",
    "../../pwned",
    "/tmp/pwned",
    "..%2f..%2fpwned",
    "%2e%2e%2f%2e%2e%2fpwned",
    "..\\..\\pwned",
    "....//....//pwned",
    "~/pwned",
    "file:///tmp/pwned",
    f"../{HASH}",
    f"{HASH}/../../../pwned",
    f"{HASH}\0",
    "$(touch /tmp/pwned)",
    "; touch /tmp/pwned",
    "",
)
ROUTES = (
    ("GET", "/v1/about"),
    ("HEAD", f"/v1/files/{HASH}"),
    ("PUT", f"/v1/files/{HASH}"),
    ("POST", "/v1/jobs"),
    ("GET", f"/v1/jobs/{JOB_ID}"),
    ("DELETE", f"/v1/jobs/{JOB_ID}"),
)


@pytest.mark.parametrize("header", ["X: y", "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN])
def test_without_the_token(target: Target, header: str) -> None:
    line = header if header == "X: y" else f"Authorization: {header}"
    for method, path in ROUTES:
        text = target.say(_request(method, path, b"x" * 1000, line, token=None))
        assert text.split()[1] == b"401", text


def test_an_oversize_file(target: Target) -> None:
    with target.client() as client:
        declared = client.put(f"/v1/files/{HASH}", content=b"x" * (LARGEST + 1))
        undeclared = client.put(f"/v1/files/{HASH}", content=(b"x" * LARGEST for _ in range(5)))
    assert (declared.status_code, undeclared.status_code) == (413, 411)
    assert b" 413 " in target.say(_put("1" + "0" * 15))
    assert b" 400 " in target.say(_put("1" + "0" * 30))
    # More than declared: the rest is no request.
    assert target.say(_put("5") + b"x" * LARGEST).startswith(b"HTTP/1.1 400 ")


def test_an_oversize_job(target: Target) -> None:
    with target.client() as client:
        declared = client.post("/v1/jobs", content=b" " * (2 << 20))
        undeclared = client.post("/v1/jobs", content=(b" " * (1 << 19) for _ in range(4)))
    assert (declared.status_code, undeclared.status_code) == (413, 413)


def test_oversize_headers(target: Target) -> None:
    start = b"GET /v1/about HTTP/1.1\r\nHost: x\r\n"
    assert b" 400 " in target.say(start + b"X-Long: " + b"x" * 1_000_000 + b"\r\n\r\n")
    assert b" 400 " in target.say(start + b"X: y\r\n" * 100_000 + b"\r\n")


def test_a_truncated_upload(target: Target) -> None:
    target.connect(_put("1000") + b"x" * 500).close()
    # Broken off without a word.
    silent = target.connect(_put("1000") + b"x" * 500)
    assert b" 408 " in rest(silent)


def test_a_wrong_hash(target: Target) -> None:
    with target.client() as client:
        answer = client.put(f"/v1/files/{HASH}", content=b"something else")
        assert answer.status_code == 400
        assert hashlib.sha256(b"something else").hexdigest() in answer.json()["error"]
        assert client.head(f"/v1/files/{HASH}").status_code == 404


@pytest.mark.parametrize("trick", TRICKS)
def test_path_tricks_in_addresses(target: Target, trick: str) -> None:
    raw = urlquote(trick, safe="/%~")
    for method, path in (("PUT", "files"), ("HEAD", "files"), ("GET", "jobs"), ("DELETE", "jobs")):
        for spelling in (raw, urlquote(trick, safe="")):
            text = target.say(_request(method, f"/v1/{path}/{spelling}", b"content"))
            assert text.split()[1] in (b"400", b"404", b"405"), text
    text = target.say(_request("GET", f"/v1/jobs/{JOB_ID}?wait={urlquote(trick, safe='')}"))
    assert text.split()[1] == b"400"


@pytest.mark.parametrize("trick", TRICKS)
def test_path_tricks_in_jobs(target: Target, job: Job, trick: str) -> None:
    data = job.to_dict() | {"files": dict.fromkeys(job.files, HASH)}

    def with_setup(**changes: Any) -> dict[str, Any]:
        return data | {"setup": data["setup"] | changes}

    wrong: list[Any] = [
        *({"id": trick, "job": data}, {"id": JOB_ID, "job": trick}, trick),
        *({"id": JOB_ID, "job": data | {key: trick}} for key in data),
        *({"id": JOB_ID, "job": with_setup(**{key: trick})} for key in data["setup"]),
        {"id": JOB_ID, "job": data | {"files": data["files"] | {trick: HASH}}},
        {"id": JOB_ID, "job": data | {"limits": {"seconds": trick, "memory": trick}}},
        {"id": JOB_ID, "job": with_setup(cpus=[trick])},
        {"id": JOB_ID, "job": data | {"kind": "energy", "options": {"root": trick}}},
    ]
    wrong += [
        {"id": JOB_ID, "job": data | {"files": data["files"] | {role: trick}}}
        for role in data["files"]
    ]
    if set(trick) & {"/", "\\"}:
        wrong += [
            {"id": JOB_ID, "job": with_setup(options={"session": {trick: "1"}})},
            {"id": JOB_ID, "job": with_setup(options={"session": {"ep.context_file_path": trick}})},
        ]
    with target.client() as client:
        for body in wrong:
            assert client.post("/v1/jobs", json=body).status_code == 400, body


@pytest.mark.parametrize("trick", TRICKS)
def test_path_tricks_in_headers(target: Target, trick: str) -> None:
    names = "Host Content-Type Content-Disposition X-Forwarded-For X-Original-URL Slug Destination"
    for name in names.split():
        text = target.say(_request("PUT", f"/v1/files/{HASH}", b"x", f"{name}: {trick}"))
        assert text.split()[1] == b"400", text
    for name in ("Content-Length", "Transfer-Encoding", "Authorization"):
        text = target.say(_request("PUT", f"/v1/files/{HASH}", b"x", f"{name}: {trick}"))
        assert text.split()[1] in (b"400", b"401", b"411", b"501"), text


def test_pickled_inputs_are_not_loaded(target: Target, job: Job, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (Path("/tmp/pwned"),)

    np.savez(tmp_path / "inputs.npz", x=np.array([Trap()], object), allow_pickle=True)
    trapped = replace(job, files={**job.files, INPUTS: str(tmp_path / "inputs.npz")})
    with pytest.raises(ParetuneError), removed(target):
        target.run(trapped)


def test_models_that_are_none(target: Target, job: Job, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(random.Random(SEED).randbytes(1000))
    with pytest.raises(InferenceError), removed(target):
        target.run(replace(job, files={**job.files, MODEL: str(tmp_path / "model.onnx")}))


def test_models_reach_for_no_files(target: Target, job: Job, tmp_path: Path) -> None:
    model = onnx.load(job.files[MODEL])
    weight = next(x for x in model.graph.initializer if x.name == "fc1.bias")
    secret = target.surroundings / "secret"
    secret.write_bytes(b"s" * 64)
    weight.raw_data = b""
    onnx.external_data_helper.set_external_data(weight, "../../secret", 0, 64)
    weight.ClearField("raw_data")
    content = model.SerializeToString()
    digest = hashlib.sha256(content).hexdigest()
    inputs = Path(job.files[INPUTS]).read_bytes()
    files = {MODEL: digest, INPUTS: hashlib.sha256(inputs).hexdigest()}
    sent = replace(job, files=files).to_dict()
    with target.client() as client, removed(target):
        assert client.put(f"/v1/files/{digest}", content=content).status_code == 201
        assert client.post("/v1/jobs", json={"id": JOB_ID, "job": sent}).status_code == 202
        while (state := client.get(f"/v1/jobs/{JOB_ID}?wait=10").json())["state"] == "running":
            pass
    assert state["state"] == "failed"
    assert state["error"]["kind"] == "inference"
    secret.unlink()


def test_a_thousand_random_requests(target: Target) -> None:
    source = random.Random(SEED)
    right = [
        _request("GET", "/v1/about"),
        _request("PUT", f"/v1/files/{HASH}", b"content"),
        _request("POST", "/v1/jobs", b'{"id": "x", "job": {}}'),
        _request("GET", f"/v1/jobs/{JOB_ID}?wait=0"),
    ]

    def broken() -> bytes:
        data = bytearray(source.choice(right))
        for _ in range(source.randrange(1, 6)):
            data[source.randrange(len(data))] = source.randrange(256)
        return bytes(data)

    noise = [source.randbytes(source.randrange(1, 300)) for _ in range(500)]
    almost = [broken() for _ in range(500)]
    with ThreadPoolExecutor(50) as pool:
        texts = [target.say(data, hang_up=True) for data in noise]
        texts += pool.map(target.say, almost)
    for data, text in zip(noise + almost, texts, strict=True):
        assert not text or 200 <= int(text.split()[1]) < 500, (data, text)


def test_fifty_connections_held_open(target: Target, job: Job) -> None:
    starts = [b"", b"GET /v1/ab", _request("GET", "/v1/about")[:-2], _put("1000") + b"x"]
    held = [target.connect(starts[number % len(starts)]) for number in range(50)]
    assert target.run(job).figures["load"].value > 0
    # Each ends, and none with what was asked for.
    assert not any(b" 200 " in rest(client) for client in held)


@contextmanager
def removed(target: Target) -> Iterator[None]:
    """What is uploaded meanwhile is removed: it is no harm."""
    files = target.folder / "files"
    before = set(files.iterdir())
    try:
        yield
    finally:
        for path in set(files.iterdir()) - before:
            path.unlink()


def _request(
    method: str, path: str, body: bytes = b"", *headers: str, token: str | None = TOKEN
) -> bytes:
    """A request with usual headers, but for those that are given."""
    usual = {"Host": "x", "Content-Length": str(len(body)), "Connection": "close"}
    if token is not None:
        usual["Authorization"] = f"Bearer {token}"
    given = {header.partition(":")[0] for header in headers}
    lines = [f"{name}: {value}" for name, value in usual.items() if name not in given]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *headers, *lines, "", ""]).encode() + body


def _put(length: str) -> bytes:
    return _request("PUT", f"/v1/files/{HASH}", b"", f"Content-Length: {length}")
