"""Files that are there whole or not at all, and folders that do not outlive their process."""

import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path


def write_whole(
    path: Path, content: bytes, *, mode: int | None = None, durable: bool = True
) -> None:
    """Write a file beside its place, then move it there.

    The file beside it always has the same name: what a killed process left of it is written over,
    and whoever else writes the same file waits.

    Args:
        mode: who may read and write it; by default as the process usually does.
        durable: let the disk have it before it is moved; without it, a power cut may leave an empty
            file. That takes a while for large files, and is no use for those that are made anew.
    """
    draft = path.with_name(f".{path.name}.draft")
    while True:
        # Closing writes, too.
        with naming(path), draft.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file.fileno(), draft):
                # Who had the lock before has moved it to its place.
                continue
            try:
                if mode is not None:
                    os.fchmod(file.fileno(), mode)
                file.truncate(0)
                file.write(content)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
                draft.replace(path)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
            return


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An error of the system that names no file, such as a full disk, gets this one."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def remove_if_empty(path: Path) -> None:
    """A log in which nothing was said need not stay."""
    with suppress(FileNotFoundError):
        if not path.stat().st_size:
            path.unlink()


@contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """A new folder in `parent`, removed at the end.

    Those that killed processes left there under the same name are removed at the begin: the lock on
    a folder ends with the process that made it.
    """
    for left in parent.glob(f".{glob.escape(name)}-*.scratch"):
        _remove_abandoned(left)
    draft = Path(tempfile.mkdtemp(dir=parent, prefix=f".{name}-"))
    handle = os.open(draft, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        # Others look for this name, and remove it when it is not locked.
        folder = draft.rename(f"{draft}.scratch")
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)


@contextmanager
def own_temporary_files() -> Iterator[None]:
    """Temporary files of this process and of its children are in one `scratch_folder`.

    Where there is no place for it, nothing changes.
    """
    before, place = tempfile.tempdir, os.environ.get("TMPDIR")
    with ExitStack() as stack:
        with suppress(OSError):
            parent = Path(tempfile.gettempdir())
            folder = str(stack.enter_context(scratch_folder(parent, "paretune")))
            tempfile.tempdir = os.environ["TMPDIR"] = folder
        try:
            yield
        finally:
            tempfile.tempdir = before
            os.environ.pop("TMPDIR", None)
            os.environ |= {} if place is None else {"TMPDIR": place}


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _remove_abandoned(folder: Path) -> None:
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)
