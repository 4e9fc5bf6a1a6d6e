"""The agent's folder: all that it writes is in here, and nobody else reads it."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from paretune.errors import UserError

_LOCK = "agent.lock"


@dataclass(frozen=True)
class Folder:
    """What lies in the folder.

    Attributes:
        files: what clients have uploaded.
        token: the token, if the agent made it.
    """

    files: Path
    token: Path


@contextmanager
def open_folder(path: Path) -> Iterator[Folder]:
    """Use a folder, which is made if missing; it belongs to one agent at a time.

    The process works in it from now on: a runtime that writes a file without being asked, or a
    library that wants a temporary one, does so there.

    Raises:
        UserError: it cannot be used, holds other things, or another agent uses it.
    """
    root = path.absolute()
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not (root / _LOCK).exists() and any(root.iterdir()):
            raise UserError(
                f"the folder '{path}' holds other things; give the agent one of its own"
            )
        root.chmod(0o700)
        lock = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UserError(f"cannot use the folder '{path}': {error.strerror}") from None
    try:
        _lock(lock, path)
        files, scratch = root / "files", root / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        files.mkdir(exist_ok=True)
        _work_in(scratch)
        yield Folder(files, root / "token")
    finally:
        os.close(lock)


def _lock(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(
            f"another agent uses the folder '{path}'; give this one a --folder of its own"
        ) from None


def _work_in(scratch: Path) -> None:
    # What processes that are started later import must still be found.
    if known := os.environ.get("PYTHONPATH"):
        parts = [str(Path(part).absolute()) for part in known.split(os.pathsep) if part]
        os.environ["PYTHONPATH"] = os.pathsep.join(parts)
    os.environ["XDG_CACHE_HOME"] = os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
    os.chdir(scratch)
