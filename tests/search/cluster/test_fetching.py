"""Files arrive whole and right over bad lines, or it is said why not."""

import hashlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paretune.errors import TransientError
from paretune.search.cluster import fetching
from paretune.search.cluster.fetching import Fetcher
from paretune.search.cluster.serving import FileServer
from tests.search.cluster.relay import Relay

CONTENT = b"".join(number.to_bytes(4, "big") for number in range(1 << 18))
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()

SERVER = """
import sys
from pathlib import Path
from paretune.search.cluster.serving import FileServer

with FileServer("127.0.0.1") as server:
    server.register(Path(sys.argv[1]), sys.argv[2])
    print(server.url, server.token, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PAUSES_S", (0.0, 0.0, 0.0))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def server(source: Path) -> Iterator[FileServer]:
    with FileServer("127.0.0.1") as server:
        server.register(source, SHA256)
        yield server


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    return tmp_path / "draft"


def fetch(server: FileServer, draft: Path, url: str = "") -> None:
    with Fetcher(url or server.url, server.token) as fetcher:
        fetcher.fetch(SHA256, SIZE, draft)


def test_one_connection_serves_many_files(server: FileServer, tmp_path: Path) -> None:
    empty = hashlib.sha256(b"").hexdigest()
    with Relay(server.url) as relay, Fetcher(relay.url, server.token) as fetcher:
        for number in range(3):
            fetcher.fetch(SHA256, SIZE, tmp_path / f"{number}")
            assert (tmp_path / f"{number}").read_bytes() == CONTENT
        # Nobody has to be asked for it.
        fetcher.fetch(empty, 0, tmp_path / "empty")
        assert (tmp_path / "empty").read_bytes() == b""


def test_a_line_that_breaks_costs_only_what_was_on_it(server: FileServer, draft: Path) -> None:
    with Relay(server.url, 300_000, 100, 400_000) as relay:
        fetch(server, draft, relay.url)
        assert draft.read_bytes() == CONTENT
        assert relay.passed < SIZE * 1.01


def test_a_line_that_always_breaks_is_told_and_the_next_call_goes_on(
    server: FileServer, draft: Path
) -> None:
    with Relay(server.url, *[100_000] * 4) as relay:
        with pytest.raises(TransientError, match=r"cannot fetch the study's files from http://"):
            fetch(server, draft, relay.url)
        had = draft.stat().st_size
        assert CONTENT.startswith(draft.read_bytes())
        assert 390_000 < had < SIZE
        before = relay.passed
        fetch(server, draft, relay.url)
        assert draft.read_bytes() == CONTENT
        assert relay.passed - before < (SIZE - had) * 1.01


@pytest.mark.parametrize("left", [b"", b"x", b"x" * SIZE, b"x" * (SIZE + 1)])
def test_a_draft_of_something_else_is_begun_anew(
    server: FileServer, draft: Path, left: bytes
) -> None:
    draft.write_bytes(left)
    fetch(server, draft)
    assert draft.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "content", [CONTENT[:-1] + b"x", CONTENT[:-1], CONTENT + b"x", CONTENT * 2, b""]
)
def test_other_content_is_refused(
    server: FileServer, source: Path, draft: Path, content: bytes
) -> None:
    source.write_bytes(content)
    with pytest.raises(TransientError, match="has another SHA-256 than it should"):
        fetch(server, draft)
    assert not draft.exists()


def test_a_server_that_is_killed_is_transient_and_another_one_sends_the_rest(
    server: FileServer, source: Path, draft: Path
) -> None:
    command = [sys.executable, "-c", SERVER, str(source), SHA256]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url, token = process.stdout.readline().split()
        with (
            Relay(url, 500_000, cut=process.kill) as relay,
            Fetcher(relay.url, token) as fetcher,
            pytest.raises(TransientError),
        ):
            fetcher.fetch(SHA256, SIZE, draft)
    had = draft.stat().st_size
    assert 490_000 < had < SIZE
    with Relay(server.url) as relay:
        fetch(server, draft, relay.url)
        assert relay.passed < (SIZE - had) * 1.01
    assert draft.read_bytes() == CONTENT


def test_nobody_there(server: FileServer, draft: Path) -> None:
    server.close()
    with pytest.raises(TransientError, match="Connection refused"):
        fetch(server, draft)


def test_a_server_that_does_not_answer_is_given_up(
    draft: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_ANSWER_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TransientError, match="timed out"), Fetcher(url, "token") as fetcher:
            fetcher.fetch(SHA256, SIZE, draft)


@pytest.mark.parametrize(("token", "sha256", "status"), [("wrong", SHA256, 401), ("", "0", 404)])
def test_a_server_of_another_search_is_told(
    server: FileServer, draft: Path, token: str, sha256: str, status: int
) -> None:
    with (
        pytest.raises(TransientError, match=rf"does not hand out .* HTTP {status}; has the search"),
        Fetcher(server.url, token or server.token) as fetcher,
    ):
        fetcher.fetch(sha256, SIZE, draft)


def test_a_draft_that_cannot_be_written(server: FileServer, draft: Path) -> None:
    draft.mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        fetch(server, draft)
