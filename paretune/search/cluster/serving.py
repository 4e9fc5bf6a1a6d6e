"""The driver's files for workers on other machines, over HTTP."""

import secrets
import threading
from pathlib import Path
from typing import Self

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from paretune.evaluators.devices.agent.guard import Guard
from paretune.evaluators.devices.agent.listening import listen, url_of
from paretune.evaluators.devices.agent.server import QuietServer

_PATIENCE_SECONDS = 30.0


class FileServer:
    """Hands out the files that are registered, to those who know the token. A context manager.

    A file is asked for by the SHA-256 of its content, so that no client ever names a path.

    Attributes:
        url: where it is.
        token: random, new for every server.
    """

    def __init__(self, host: str) -> None:
        """Serve from now on, in a thread.

        Args:
            host: name or address of this machine under which the clients reach it.

        Raises:
            UserError: this machine has no such address.
        """
        self.token = secrets.token_urlsafe(32)
        self._files: dict[str, Path] = {}
        self._listener = listen(host, 0)
        self.url = url_of(self._listener, None)
        app = Starlette(
            routes=[Route("/files/{sha256}", self._send)],
            middleware=[Middleware(Guard, token=self.token)],
        )
        app.router.redirect_slashes = False
        started = threading.Event()
        self._server = QuietServer(app, started.set, lambda: None, _PATIENCE_SECONDS)

        def run() -> None:
            try:
                self._server.run([self._listener])
            finally:
                started.set()

        self._thread = threading.Thread(target=run, name="file-server", daemon=True)
        self._thread.start()
        started.wait()

    def register(self, path: Path, sha256: str) -> None:
        """Hand a file out to whoever asks for `sha256`.

        Args:
            path: absolute, or relative to the current folder of now.
            sha256: in hexadecimal.
        """
        self._files[sha256] = path.absolute()

    def close(self) -> None:
        """End; what is on its way is cut off."""
        self._server.stop()
        self._thread.join()
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _send(self, request: Request) -> Response:
        path = self._files.get(request.path_params["sha256"])
        try:
            status = None if path is None else path.stat()
        except OSError:
            status = None
        if path is None or status is None:
            raise HTTPException(404)
        return FileResponse(path, stat_result=status, media_type="application/octet-stream")
