"""Uvicorn, but patient with nobody, and asleep while nothing happens."""

import asyncio
import socket
from asyncio import BaseTransport, Transport
from collections.abc import Callable
from types import FrameType
from typing import cast

from starlette.types import ASGIApp
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from paretune.evaluators.devices.agent.listening import Tls

_MOST_CONNECTIONS = 128


class StrictProtocol(H11Protocol):
    """Cuts off who does not send a whole request head, or does not take the answer, in time.

    The body of a request is the handlers' own matter, until they have answered.

    Attributes:
        patience: seconds.
    """

    patience: float
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(cast(Transport, transport))
        self._arm()
        if len(self.connections) > _MOST_CONNECTIONS:
            self.transport.abort()

    def handle_events(self) -> None:
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._disarm()

    def on_response_complete(self) -> None:
        self._arm()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """End at once: an answer that is under way can be asked for again."""
        self.transport.abort()

    def _arm(self) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(self.patience, self.transport.abort)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class QuietServer(Server):
    """Sleeps until there is a request; ends on SIGINT and SIGTERM without complaint.

    Uvicorn's own wakes ten times a second, beside the measurement.

    Args:
        app: ASGI application.
        ready: called when requests are answered.
        ending: called when no more will be; requests that wait must end now.
        patience: seconds after which connections that stall are cut off.
        tls: None for plain HTTP.
    """

    def __init__(
        self,
        app: ASGIApp,
        ready: Callable[[], None],
        ending: Callable[[], None],
        patience: float,
        tls: Tls | None = None,
    ) -> None:
        class Protocol(StrictProtocol):
            pass

        Protocol.patience = patience
        super().__init__(
            Config(
                app,
                loop="asyncio",
                http=Protocol,
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                h11_max_incomplete_event_size=1 << 14,
                timeout_graceful_shutdown=2,
                ssl_certfile=None if tls is None else tls.cert,
                ssl_keyfile=None if tls is None else tls.key,
            )
        )
        self._ready = ready
        self._ending = ending
        self._over = asyncio.Event()
        self._running_loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._running_loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._ready()

    async def main_loop(self) -> None:
        await self._over.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending()
        await super().shutdown(sockets)
        self._running_loop = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End soon; may be called by another thread or a signal handler."""
        self.should_exit = True
        if self._running_loop is not None:
            self._running_loop.call_soon_threadsafe(self._over.set)
