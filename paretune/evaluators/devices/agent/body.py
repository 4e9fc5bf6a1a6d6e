"""Reading what a client sends: not too much, and not too slowly."""

import asyncio
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request

_PROGRESS_BYTES = 1 << 16


def declared_size(request: Request, most: int) -> int | None:
    """What the client says that it sends; None if it does not say.

    Raises:
        HTTPException: 413, more than `most` bytes.
    """
    # The server has checked that it is a number, and reads no more than it says.
    text = request.headers.get("content-length")
    if text is None or "transfer-encoding" in request.headers:
        return None
    if int(text) > most:
        raise _too_large(most)
    return int(text)


async def read_body(
    request: Request, most: int, patience: float, write: Callable[[bytes], object]
) -> None:
    """Read all of it, in pieces.

    A client that sends less than 64 KiB in `patience` seconds is cut off: sending drop by drop
    would hold a connection for ever.

    Args:
        most: bytes.
        patience: seconds.
        write: takes a piece.

    Raises:
        HTTPException: 413, more than `most` bytes; 408, too slow.
        ClientDisconnect: the client is gone.
    """
    clock = asyncio.get_running_loop()
    size = progress = 0
    try:
        async with asyncio.timeout(patience) as limit:
            async for piece in request.stream():
                size += len(piece)
                if size > most:
                    raise _too_large(most)
                write(piece)
                progress += len(piece)
                if progress >= _PROGRESS_BYTES:
                    progress = 0
                    limit.reschedule(clock.time() + patience)
    except TimeoutError:
        # The rest is not worth waiting for.
        raise HTTPException(408, "too slow", {"Connection": "close"}) from None


def _too_large(most: int) -> HTTPException:
    return HTTPException(413, f"too large: at most {most} bytes are accepted")
