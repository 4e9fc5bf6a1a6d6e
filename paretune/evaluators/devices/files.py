"""Files on their way to a device: what names them is the hash of their content."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from google.protobuf.message import DecodeError

from paretune.errors import UserError
from paretune.evaluators.measuring.job import MODEL, REFERENCE
from paretune.evaluators.size import external_files


@dataclass(frozen=True)
class SentFile:
    """A file of a job.

    Attributes:
        role: in the job.
        path: on this host.
        sha256: hex digits.
        size: bytes.
    """

    role: str
    path: Path
    sha256: str
    size: int


def sent_file(role: str, path: Path) -> SentFile:
    """Read what has to be known of a file; cheap if it has not changed since the last time.

    Raises:
        UserError: it is a model whose weights lie in other files.
    """
    stat = path.stat()
    if role in (MODEL, REFERENCE):
        _check_single(path, stat.st_size, stat.st_mtime_ns)
    return SentFile(role, path, _sha256(path, stat.st_size, stat.st_mtime_ns), stat.st_size)


@lru_cache(maxsize=64)
def _sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=64)
def _check_single(path: Path, size: int, _mtime_ns: int) -> None:
    try:
        others = external_files(path) if size else []
    except DecodeError:
        # The runtime on the device will say what is wrong with it.
        return
    if others:
        raise UserError(
            f"'{path}' keeps weights in other files ('{others[0].name}'), but a model that goes to"
            " a device must be one file; save it without external data"
        )
