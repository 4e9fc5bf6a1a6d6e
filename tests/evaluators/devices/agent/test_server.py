"""Connections that stall, and many of them."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from paretune.evaluators.devices.agent import server as module
from paretune.evaluators.devices.agent.body import read_body
from paretune.evaluators.devices.agent.listening import listen
from paretune.evaluators.devices.agent.server import QuietServer
from tests.evaluators.devices.agent.sockets import rest
from tests.evaluators.devices.running import wait_until

PATIENCE = 0.3
HEAD = b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n"
SLOW = HEAD.replace(b"quick", b"slow")


async def quick(_: Request) -> Response:
    return Response("done")


async def slow(_: Request) -> Response:
    await asyncio.sleep(4 * PATIENCE)
    return Response("done")


async def upload(request: Request) -> Response:
    try:
        await read_body(request, 1 << 30, PATIENCE, lambda _: None)
    except ClientDisconnect:
        return Response(status_code=400)
    return Response("done")


async def refuse(_: Request) -> Response:
    raise HTTPException(413)


async def huge(_: Request) -> Response:
    return Response(b"x" * (64 << 20))


class Running:
    """A server in a thread."""

    def __init__(self) -> None:
        handlers = {"quick": quick, "slow": slow, "upload": upload, "refuse": refuse, "huge": huge}
        routes = [
            Route(f"/{name}", handler, methods=["GET", "PUT"]) for name, handler in handlers.items()
        ]
        self._listener = listen("127.0.0.1", 0)
        started = threading.Event()
        self.server = QuietServer(Starlette(routes=routes), started.set, lambda: None, PATIENCE)
        self._thread = threading.Thread(target=self.server.run, args=([self._listener],))
        self._address = self._listener.getsockname()
        self._thread.start()
        assert started.wait(10)

    def connect(self, data: bytes = b"") -> socket.socket:
        client = socket.create_connection(self._address, timeout=20)
        client.sendall(data)
        return client

    def wait_for(self, connections: int) -> None:
        wait_until(lambda: len(self.server.server_state.connections) == connections)

    def close(self) -> None:
        self.server.stop()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._listener.close()


@pytest.fixture
def running() -> Iterator[Running]:
    server = Running()
    yield server
    server.close()


@pytest.mark.parametrize("start", [b"", b"G", HEAD[:-2], HEAD + HEAD[:-2]])
def test_half_a_request_is_cut_off(running: Running, start: bytes) -> None:
    text = rest(running.connect(start))
    assert text.count(b"200 OK") == (1 if start.startswith(HEAD) else 0)


def test_drops_do_not_prolong_it(running: Running) -> None:
    client = running.connect(b"GET /quick HTTP/1.1\r\n")
    with pytest.raises(OSError):
        while True:
            client.sendall(b"X-Drop: 1\r\n")
            client.settimeout(PATIENCE / 10)
            try:
                if not client.recv(1):
                    raise ConnectionResetError
            except TimeoutError:
                client.settimeout(20)
    client.close()


def test_handlers_may_take_their_time(running: Running) -> None:
    client = running.connect(SLOW)
    assert b"200 OK" in client.recv(1000)
    client.close()


def test_a_body_that_stalls_is_cut_off(running: Running) -> None:
    head = b"PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    assert b"408" in rest(running.connect(head + b"x" * 99))
    with running.connect(head + b"x" * 100) as client:
        assert b"200 OK" in client.recv(1000)


def test_a_body_without_end_is_cut_off_once_it_is_refused(running: Running) -> None:
    client = running.connect(
        b"PUT /refuse HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    assert b"413" in client.recv(1000)
    with pytest.raises(OSError):
        while True:
            client.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
    client.close()


def test_an_answer_that_nobody_takes_is_cut_off(running: Running) -> None:
    client = running.connect(HEAD.replace(b"quick", b"huge"))
    running.wait_for(1)
    running.wait_for(0)
    client.close()


def test_too_many_connections_are_refused(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_CONNECTIONS", 3)
    held = [running.connect(SLOW) for _ in range(3)]
    running.wait_for(3)
    assert rest(running.connect(HEAD)) == b""
    assert all(b"200 OK" in client.recv(1000) for client in held)
    for client in held:
        client.close()


def test_it_ends_soon_whoever_is_connected() -> None:
    running = Running()
    with running.connect(), running.connect(HEAD[:-2]), running.connect(SLOW):
        running.wait_for(3)
        running.close()
