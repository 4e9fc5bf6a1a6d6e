"""What clients have uploaded: files that are named by the SHA-256 of their content."""

import errno
import hashlib
import os
import re
import shutil
from collections import OrderedDict
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import TracebackType

_HASH = re.compile("[0-9a-f]{64}")
_UPLOAD = "upload-"


class NoRoom(OSError):
    """The file does not fit, whatever is removed for it."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.ENOSPC, message)


def is_hash(text: str) -> bool:
    """Whether it is a SHA-256 as 64 lower-case hex digits."""
    return _HASH.fullmatch(text) is not None


class FileStore:
    """Keeps files up to a size limit; those used least recently make room for new ones.

    Args:
        folder: for the files, which nothing else uses.
        keep: bytes of all files together.
        in_use: tells the hashes of files that must stay now.
    """

    def __init__(self, folder: Path, keep: int, in_use: Callable[[], Collection[str]]) -> None:
        self._folder = folder
        self._keep = keep
        self._in_use = in_use
        self._coming = 0
        # Of an agent that was killed.
        for path in folder.glob(f"{_UPLOAD}*"):
            path.unlink()
        found = [path for path in folder.iterdir() if is_hash(path.name)]
        found.sort(key=lambda path: path.stat().st_mtime_ns)
        self._sizes = OrderedDict((path.name, path.stat().st_size) for path in found)

    def use(self, digest: str) -> bool:
        """Whether the file is here; it then counts as used now."""
        if digest not in self._sizes:
            return False
        self._sizes.move_to_end(digest)
        try:
            # For the order after a restart.
            os.utime(self.path(digest))
        except OSError:
            if not self.path(digest).exists():
                del self._sizes[digest]
                return False
        return True

    def path(self, digest: str) -> Path:
        """Where a file is.

        Raises:
            ValueError: that is no hash.
        """
        if not is_hash(digest):
            raise ValueError(f"'{digest}' is no SHA-256")
        return self._folder / digest

    def receive(self, digest: str, size: int) -> "Upload":
        """Make room for a file.

        Args:
            size: bytes.

        Raises:
            NoRoom: there is none.
            OSError: the disk.
        """
        self._make_room(size)
        self._coming += size
        try:
            return Upload(self, self.path(digest), size)
        except BaseException:
            self._coming -= size
            raise

    def received(self, upload: "Upload", complete: bool) -> None:
        """An upload has ended."""
        self._coming -= upload.size
        if complete:
            self._sizes[upload.target.name] = upload.size
            self._sizes.move_to_end(upload.target.name)

    def _make_room(self, size: int) -> None:
        used = self._in_use()
        removable = [digest for digest in self._sizes if digest not in used]
        while self._lacks(size) and removable:
            digest = removable.pop(0)
            self.path(digest).unlink(missing_ok=True)
            del self._sizes[digest]
        if reason := self._lacks(size):
            raise NoRoom(f"no room for {size} bytes: {reason}")

    def _lacks(self, size: int) -> str:
        if sum(self._sizes.values()) + self._coming + size > self._keep:
            return f"it keeps {self._keep} bytes at most, and jobs use what is there"
        if shutil.disk_usage(self._folder).free < size:
            return "the disk is full"
        return ""


class Upload:
    """A file that arrives piece by piece; it is in the store once it is complete and right.

    Args:
        target: its path in the end.
        size: bytes to come.

    Raises:
        OSError: the disk.
    """

    def __init__(self, store: FileStore, target: Path, size: int) -> None:
        self.target = target
        self.size = size
        self._store = store
        self._hash = hashlib.sha256()
        self._complete = False
        self._file = NamedTemporaryFile(dir=target.parent, prefix=_UPLOAD, delete=False)  # noqa: SIM115

    def write(self, piece: bytes) -> None:
        """Add to it.

        Raises:
            OSError: the disk.
        """
        self._hash.update(piece)
        self._file.write(piece)

    def finish(self) -> None:
        """All pieces are here; may take long, and may be called in another thread.

        Raises:
            ValueError: the content has another hash.
            OSError: the disk.
        """
        self._file.flush()
        if (found := self._hash.hexdigest()) != self.target.name:
            raise ValueError(f"the content has the SHA-256 {found}")
        os.fsync(self._file.fileno())
        Path(self._file.name).replace(self.target)
        self._complete = True

    def __enter__(self) -> "Upload":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What is still buffered may not fit on the disk either.
        with suppress(OSError):
            self._file.close()
        Path(self._file.name).unlink(missing_ok=True)
        self._store.received(self, self._complete)
