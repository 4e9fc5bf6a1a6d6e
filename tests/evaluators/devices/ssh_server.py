"""A real ssh server on this host, which runs commands for real."""

import asyncio
import os
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import asyncssh

_T = TypeVar("_T")


class SshServer:
    """Serves in a thread; one key may log in, and has its home in a folder of its own.

    Args:
        folder: for keys and the home.

    Attributes:
        home: of the user there.
        tunnels: whether connections may be forwarded.
        notices: whether what runs is told when the client is gone; a network that breaks tells
            nobody.
    """

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.tunnels = self.notices = True
        self._folder = folder
        self._host_key = asyncssh.generate_private_key("ssh-ed25519")
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._running: list[tuple[asyncio.subprocess.Process, asyncio.Task[None]]] = []
        self._listener: asyncssh.SSHAcceptor | None = None
        self.port = 0
        for name in ("key", "stranger"):
            key = asyncssh.generate_private_key("ssh-ed25519")
            key.write_private_key(folder / name)
            key.write_public_key(folder / f"{name}.pub")
            (folder / name).chmod(0o600)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)
        self._thread.start()
        self.open()

    def open(self) -> None:
        """Listen, at the same port as before."""
        self._do(self._open())

    def shut(self) -> None:
        """Break all connections, and take no more."""
        self._do(self._shut())

    def break_connections(self) -> None:
        """Break those that there are."""
        self._do(self._break())

    def close(self) -> None:
        """End it."""
        self._do(self._shut())
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def options(self, key: str = "key") -> dict[str, Any]:
        """Of the device `ssh`."""
        known = self._folder / "known_hosts"
        public = self._host_key.export_public_key().decode()
        known.write_text(f"[127.0.0.1]:{self.port} {public}")
        return {
            "url": f"ssh://me@127.0.0.1:{self.port}",
            "identity": str(self._folder / key),
            "ssh_options": [
                *("-F", "none"),
                *("-o", "IdentitiesOnly=yes"),
                *("-o", f"UserKnownHostsFile={known}"),
            ],
        }

    def _do(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _open(self) -> None:
        server = self

        class Login(asyncssh.SSHServer):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                self._connection = conn
                server._connections.add(conn)

            def connection_lost(self, exc: Exception | None) -> None:
                server._connections.discard(self._connection)

            def connection_requested(
                self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
            ) -> bool:
                return server.tunnels

        self._listener = await asyncssh.listen(
            "127.0.0.1",
            self.port,
            server_factory=Login,
            server_host_keys=[self._host_key],
            authorized_client_keys=str(self._folder / "key.pub"),
            process_factory=self._run,
            encoding=None,
        )
        self.port = self._listener.get_port()

    async def _shut(self) -> None:
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()
        await self._break()

    async def _break(self) -> None:
        for connection in list(self._connections):
            connection.abort()
            await connection.wait_closed()

    async def _end(self) -> None:
        for child, feeding in self._running:
            assert child.stdin is not None
            child.stdin.close()
            await child.wait()
            await feeding
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    async def _run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        child = await asyncio.create_subprocess_shell(
            process.command or "",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "HOME": str(self.home)},
        )
        # Greetings come before what is asked for.
        process.stdout.write(b"Welcome to this board!\n")
        assert child.stdout is not None
        assert child.stderr is not None
        passing = [
            asyncio.create_task(_pass_on(child.stdout, process.stdout)),
            asyncio.create_task(_pass_on(child.stderr, process.stderr)),
        ]
        feeding = asyncio.create_task(self._feed(process, child))
        self._running.append((child, feeding))
        status = await child.wait()
        # Like a real server, which hangs up when all has been passed on; what a child of the child
        # may still say is not waited for without end.
        await asyncio.wait(passing, timeout=2.0)
        process.exit(status)

    async def _feed(
        self, process: asyncssh.SSHServerProcess[bytes], child: asyncio.subprocess.Process
    ) -> None:
        assert child.stdin is not None
        with suppress(asyncssh.Error, OSError):
            while part := await process.stdin.read(1 << 16):
                child.stdin.write(part)
                await child.stdin.drain()
        if self.notices:
            child.stdin.close()


async def _pass_on(source: asyncio.StreamReader, target: "asyncssh.SSHWriter[bytes]") -> None:
    with suppress(asyncssh.Error, OSError):
        while part := await source.read(1 << 16):
            target.write(part)
            await target.drain()
