"""Files go to those who know the token and the hash, and nothing else goes anywhere."""

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from paretune.errors import UserError
from paretune.search.cluster.serving import FileServer

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret-folder" / "weights.bin"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def server(file: Path) -> Iterator[FileServer]:
    with FileServer("127.0.0.1") as server:
        server.register(file, SHA256)
        yield server


def ask(
    server: FileServer, path: str = f"/files/{SHA256}", method: str = "GET", **headers: str
) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {server.token}", **headers}
    return httpx2.request(method, f"{server.url}{path}", headers=headers, trust_env=False)


def test_a_registered_file_is_handed_out_whole_or_in_part(server: FileServer) -> None:
    assert ask(server).content == CONTENT
    rest = ask(server, Range="bytes=1000-")
    assert (rest.status_code, rest.content) == (206, CONTENT[1000:])
    assert ask(server, Range=f"bytes={len(CONTENT)}-").status_code == 416


def test_a_path_is_that_of_the_folder_it_was_registered_in(
    server: FileServer, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    server.register(Path(file.name), "name")
    monkeypatch.chdir("/")
    assert ask(server, "/files/name").content == CONTENT


@pytest.mark.parametrize(
    "given",
    ["", "Bearer", "Bearer wrong", "Basic {token}", "{token}", "Bearer {token}x"],
)
def test_without_the_token_nothing_is_told(server: FileServer, file: Path, given: str) -> None:
    for path in (f"/files/{SHA256}", "/files/none", "/"):
        answer = ask(server, path, Authorization=given.format(token=server.token))
        assert answer.status_code == 401
        assert_no_leak(answer, file)
    assert ask(server, f"/files/{SHA256}?token={server.token}", Authorization="").is_error


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/files",
        "/files/",
        f"/files/{SHA256[:-1]}",
        f"/files/{SHA256.upper()}",
        f"/files/{SHA256}/",
        f"/files/{SHA256}/../weights.bin",
        "/files/weights.bin",
        "/files/%2e%2e%2fweights.bin",
        "/files/..%2f..%2fetc%2fpasswd",
        "/../../etc/passwd",
        "/files/{file}",
        "/{file}",
    ],
)
def test_what_is_not_registered_is_not_there(server: FileServer, file: Path, path: str) -> None:
    asked = path.format(file=file)
    parts = urlsplit(server.url)
    # Word for word: a client of good manners would put the path in order.
    with socket.create_connection((str(parts.hostname), int(parts.port or 0))) as client:
        head = f"GET {asked} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        client.sendall(f"{head}Authorization: Bearer {server.token}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
    assert answer.split()[1] == b"404"
    assert b"secret-folder" not in answer
    assert b"root:" not in answer


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_files_can_only_be_read(server: FileServer, file: Path, method: str) -> None:
    assert ask(server, method=method).status_code == 405
    assert file.read_bytes() == CONTENT


def test_a_file_that_is_gone_is_not_there(server: FileServer, file: Path) -> None:
    file.unlink()
    answer = ask(server)
    assert answer.status_code == 404
    assert_no_leak(answer, file)


def test_every_server_has_a_token_of_its_own(server: FileServer) -> None:
    with FileServer("127.0.0.1") as other:
        assert len(server.token) >= 32
        assert ask(other, Authorization=f"Bearer {server.token}").status_code == 401


def test_the_end_does_not_wait_for_slow_clients(file: Path) -> None:
    file.write_bytes(bytes(64 << 20))
    with FileServer("127.0.0.1") as server:
        server.register(file, SHA256)
        headers = {"Authorization": f"Bearer {server.token}"}
        with httpx2.stream("GET", f"{server.url}/files/{SHA256}", headers=headers) as answer:
            pieces = answer.iter_raw()
            next(pieces)
            server.close()
            with pytest.raises(httpx2.TransportError):
                list(pieces)
    with pytest.raises(httpx2.ConnectError):
        ask(server)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(UserError, match=r"cannot listen at '192\.0\.2\.1'"):
        FileServer("192.0.2.1")


def assert_no_leak(answer: httpx2.Response, file: Path) -> None:
    told = f"{answer.headers} {answer.text}"
    assert file.name not in told
    assert file.parent.name not in told
