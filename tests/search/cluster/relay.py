"""A bad line to a server."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit


class Relay:
    """Passes connections on to a server, one after the other; the first ones break off.

    Attributes:
        url: where it is.
        passed: bytes of answers that went through.
    """

    def __init__(self, url: str, *limits: int, cut: Callable[[], None] = lambda: None) -> None:
        """
        Args:
            url: of the server.
            limits: bytes of answers after which the first, second, … connection is cut.
            cut: called when one is.
        """
        parts = urlsplit(url)
        self._server = parts.hostname, parts.port
        self._limits = list(limits)
        self._cut = cut
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.passed = 0
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def __enter__(self) -> "Relay":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, suppress(ConnectionError):
                    self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        with socket.create_connection(self._server) as server:
            asking = threading.Thread(target=_pump, args=(client, server))
            asking.start()
            self._answer(server, client)
            for end in (client, server):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            asking.join()

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        left = self._limits.pop(0) if self._limits else None
        with suppress(OSError):
            while piece := server.recv(1 << 16 if left is None else min(left, 1 << 16)):
                client.sendall(piece)
                self.passed += len(piece)
                if left is not None:
                    left -= len(piece)
                    if not left:
                        self._cut()
                        return


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
