"""A machine's copy of other machines' files, which all its processes share."""

import fcntl
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from paretune.errors import UserError
from paretune.search.cluster.fetching import sha256_of

CACHE_ENV = "PARETUNE_CACHE"
"""Environment variable that names the folder, where nothing else is said."""

UNLINKED = "model/"
"""Files below it have no other name, since ONNX refuses weights in a file that has several."""

Fetch = Callable[[str, int, Path], None]
"""Completes a draft from a file's SHA-256 and its size in bytes. See `Fetcher.fetch`."""


@dataclass(frozen=True)
class KitFile:
    """A file of a kit.

    Attributes:
        path: in the kit's folder; relative, with `/`.
        sha256: of its content, in hexadecimal.
        size: in bytes.
        origin: absolute path on the machine that it comes from.
    """

    path: str
    sha256: str
    size: int
    origin: str


class MachineCache:
    """A folder for files and for the kits that are made of them.

    A file is kept under the SHA-256 of its content, so that several kits share it. One process at
    a time adds to it; what a killed one left undone is completed by the next.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """
        Args:
            folder: by default `$PARETUNE_CACHE`, or `~/.cache/paretune`.

        Raises:
            UserError: there is no home folder either.
        """
        try:
            default = Path(os.environ.get(CACHE_ENV) or Path.home() / ".cache" / "paretune")
        except RuntimeError as error:
            raise UserError(f"no place to keep files: {error}; {CACHE_ENV} names one") from None
        self.folder = (folder or default).absolute()

    def stock(self, name: str, files: Sequence[KitFile], fetch: Fetch) -> Path:
        """Bring together the files of a kit; waits while another process does so.

        Args:
            name: of the kit's folder.
            fetch: is called for what is not in the cache yet.

        Returns:
            The folder; processes may write further files to it.

        Raises:
            UserError: the disk is full, or the folder cannot be written.
        """
        folder = self.folder / name
        try:
            with self._alone():
                for file in files:
                    self._place(file, folder / file.path, fetch)
                # A sign of life, for whoever clears up.
                os.utime(folder)
        except OSError as error:
            needed = math.ceil(sum(file.size for file in files) / 2**20)
            raise UserError(
                f"cannot keep the study's files in '{self.folder}': {error.strerror or error};"
                f" {CACHE_ENV} names a folder for them, with room for {needed:,} MiB"
            ) from error
        return folder

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _place(self, file: KitFile, target: Path, fetch: Fetch) -> None:
        if target.is_file() and target.stat().st_size == file.size:
            return
        kept = self._kept(file, fetch)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not file.path.startswith(UNLINKED):
            with suppress(OSError):
                os.link(kept, target)
                return
        draft = target.with_name(f".{target.name}.draft")
        shutil.copyfile(kept, draft)
        draft.replace(target)

    def _kept(self, file: KitFile, fetch: Fetch) -> Path:
        path = self.folder / "files" / file.sha256
        if path.is_file() and sha256_of(path) == file.sha256:
            return path
        path.parent.mkdir(exist_ok=True)
        draft = path.with_name(f".{path.name}.draft")
        fetch(file.sha256, file.size, draft)
        # It goes by several names: nobody writes to it.
        draft.chmod(0o444)
        draft.replace(path)
        return path
