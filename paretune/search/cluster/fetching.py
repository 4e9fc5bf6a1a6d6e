"""Fetching files from the driver's `FileServer`."""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import httpx2

from paretune.errors import TransientError

PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Between one try to fetch a file and the next."""

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 30.0
_STRANGERS = {httpx2.codes.UNAUTHORIZED, httpx2.codes.NOT_FOUND}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Broken(Exception):
    """A try that failed; the text is why."""


class Fetcher:
    """Speaks to one `FileServer`. A context manager."""

    def __init__(self, url: str, token: str) -> None:
        """Args:
        url, token: those of the server.
        """
        self._url = url
        self._http = httpx2.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"},
            timeout=httpx2.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
            # A proxy of the environment is for the internet, and must not see the token.
            trust_env=False,
        )

    def fetch(self, sha256: str, size: int, draft: Path) -> None:
        """Fetch a file; on return `draft` has the right content, and is on the disk.

        Args:
            sha256: of the content, in hexadecimal.
            size: of the content, in bytes.
            draft: where to write it. If it exists, it is the begin of the file, left by an earlier
                call that failed; only the rest is fetched then.

        Raises:
            TransientError: the server is away, has no such file, or sends another content.
            OSError: `draft` cannot be written; it is removed then.
        """
        for pause in (*PAUSES_S, None):
            try:
                self._try(sha256, size, draft)
                return
            except _Broken as error:
                if pause is None:
                    raise TransientError(
                        f"cannot fetch the study's files from {self._url}: {error}"
                    ) from error.__cause__
                time.sleep(pause)
            except OSError:
                draft.unlink(missing_ok=True)
                raise

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _try(self, sha256: str, size: int, draft: Path) -> None:
        with draft.open("ab") as file:
            if (start := file.tell()) < size:
                with self._asked(sha256, start) as pieces:
                    for piece in pieces:
                        file.write(piece)
                        if file.tell() > size:
                            break
                file.flush()
                os.fsync(file.fileno())
        if sha256_of(draft) != sha256:
            draft.unlink()
            raise _Broken("what it sends has another SHA-256 than it should")

    @contextmanager
    def _asked(self, sha256: str, start: int) -> Iterator[Iterator[bytes]]:
        """The pieces of a file from byte `start` on."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        wanted = httpx2.codes.PARTIAL_CONTENT if start else httpx2.codes.OK
        try:
            with self._http.stream("GET", f"/files/{sha256}", headers=headers) as response:
                if response.status_code in _STRANGERS:
                    raise TransientError(
                        f"{self._url} does not hand out this study's files (any more):"
                        f" HTTP {response.status_code}; has the search ended?"
                    )
                if response.status_code != wanted:
                    raise _Broken(f"HTTP {response.status_code}")
                yield response.iter_raw()
        except httpx2.RequestError as error:
            raise _Broken(str(error) or type(error).__name__) from error
