"""The agent's HTTP API."""

import asyncio
import errno
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from paretune.evaluators.devices.agent.body import declared_size, read_body
from paretune.evaluators.devices.agent.files import FileStore, is_hash
from paretune.evaluators.devices.agent.guard import Guard
from paretune.evaluators.devices.agent.queue import JobQueue, QueueFull
from paretune.evaluators.devices.agent.requests import Allowance, is_job_id, read_request
from paretune.evaluators.devices.protocol import PROTOCOL

_JSON_BYTES = 1 << 20
_LONGEST_WAIT = 30.0
_LONGEST_MESSAGE = 500
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Api:
    """The API's handlers.

    Args:
        queue: of jobs.
        files: that jobs use.
        allowance: what jobs may have.
        largest: bytes of a file.
        about: what the agent says of itself.
        patience: seconds after which a body that stalls is cut off.
    """

    def __init__(
        self,
        queue: JobQueue,
        files: FileStore,
        allowance: Allowance,
        largest: int,
        about: Mapping[str, Any],
        patience: float,
    ) -> None:
        self._queue = queue
        self._files = files
        self._allowance = allowance
        self._largest = largest
        self._patience = patience
        self._about = {"protocol": PROTOCOL, **about, "file_bytes": largest}

    def app(self, token: str) -> Starlette:
        """The whole application.

        Args:
            token: that every request must bring.
        """
        app = Starlette(
            routes=[
                Route("/v1/about", self.about),
                Route("/v1/files/{digest}", self.find_file, methods=["HEAD"]),
                Route("/v1/files/{digest}", self.put_file, methods=["PUT"]),
                Route("/v1/jobs", self.post_job, methods=["POST"]),
                Route("/v1/jobs/{id}", self.get_job, methods=["GET"]),
                Route("/v1/jobs/{id}", self.delete_job, methods=["DELETE"]),
            ],
            middleware=[Middleware(Guard, token=token)],
            exception_handlers={HTTPException: _explained, ClientDisconnect: _unheard},
            lifespan=self._running,
        )
        app.router.redirect_slashes = False
        return app

    @asynccontextmanager
    async def _running(self, _: Starlette) -> AsyncIterator[None]:
        worker = asyncio.create_task(self._queue.run())
        try:
            yield
        finally:
            self._queue.end()
            await worker

    async def about(self, _: Request) -> Response:
        return JSONResponse(self._about)

    async def find_file(self, request: Request) -> Response:
        return Response(status_code=200 if self._files.use(_digest(request)) else 404)

    async def put_file(self, request: Request) -> Response:
        digest = _digest(request)
        size = declared_size(request, self._largest)
        if size is None:
            raise HTTPException(411, "the header Content-Length is missing")
        if self._files.use(digest):
            return JSONResponse({}, 200)
        try:
            with self._files.receive(digest, size) as upload:
                await read_body(request, size, self._patience, upload.write)
                # It waits for the disk, while others must not wait for it.
                await asyncio.to_thread(upload.finish)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        except OSError as error:
            if error.errno not in _DISK_FULL:
                raise
            raise HTTPException(507, error.strerror or str(error)) from None
        return JSONResponse({}, 201)

    async def post_job(self, request: Request) -> Response:
        declared_size(request, _JSON_BYTES)
        body = bytearray()
        await read_body(request, _JSON_BYTES, self._patience, body.extend)
        try:
            job_id, job = read_request(bytes(body), self._allowance)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        if job_id in self._queue:
            self._queue.renew(job_id)
            return JSONResponse({}, 202)
        digests = sorted(set(job.files.values()))
        if missing := [digest for digest in digests if not self._files.use(digest)]:
            return JSONResponse({"error": "files are missing", "missing": missing}, 409)
        paths = {role: str(self._files.path(digest)) for role, digest in job.files.items()}
        try:
            self._queue.submit(job_id, job, replace(job, files=paths))
        except QueueFull:
            raise HTTPException(429, "too many jobs wait") from None
        return JSONResponse({}, 202)

    async def get_job(self, request: Request) -> Response:
        seconds = _wait(request.query_params.get("wait", "0"))
        try:
            state = await self._queue.wait(_job_id(request), seconds)
        except KeyError:
            raise HTTPException(404, "no such job") from None
        return Response(state, media_type="application/json")

    async def delete_job(self, request: Request) -> Response:
        self._queue.cancel(_job_id(request))
        return Response(status_code=204)


def _digest(request: Request) -> str:
    digest: str = request.path_params["digest"]
    if not is_hash(digest):
        raise HTTPException(400, f"a file's name is its SHA-256 in hex digits, but got {digest!r}")
    return digest


def _job_id(request: Request) -> str:
    job_id: str = request.path_params["id"]
    if not is_job_id(job_id):
        raise HTTPException(400, f"a job's id is 32 lower-case hex digits, but got {job_id!r}")
    return job_id


def _wait(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise HTTPException(400, f"'wait' must be a number of seconds, but got {text!r}")
    return min(seconds, _LONGEST_WAIT)


async def _explained(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse(
        {"error": error.detail[:_LONGEST_MESSAGE]}, error.status_code, error.headers
    )


async def _unheard(_: Request, error: Exception) -> Response:
    """The client is gone: nobody reads the answer."""
    return Response(status_code=400)
