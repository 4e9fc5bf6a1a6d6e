"""The lock that keeps a study to one search at a time."""

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import IO

from paretune.errors import UserError
from paretune.search.ledger import Ledger
from paretune.search.location import find_ledger


class StudyLock:
    """Held from construction to `close`, or to the end of the process, however it ends.

    A folder has one search at a time, and so has a study in a database, whatever the folder.

    Attributes:
        ledger: the records of the study, for writing.
    """

    def __init__(self, folder: Path) -> None:
        """Take the lock of the study in `folder`, which exists.

        Raises:
            UserError: another process holds it, or the study's database cannot be used.
        """
        self._file = _lock_file(folder)
        try:
            self.ledger: Ledger = find_ledger(folder)
            self.ledger.claim()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        self.ledger.close()
        self._file.close()


def holder(folder: Path) -> str | None:
    """Which process works on the study in a folder now; None if none does."""
    try:
        with (folder / "study.lock").open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().strip() or "another process"
    except FileNotFoundError:
        pass
    return None


def _lock_file(folder: Path) -> IO[str]:
    file = (folder / "study.lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise UserError(
            f"another search is working on the study in '{folder}' ({holder}); wait for its"
            " end, stop it with Ctrl-C, or choose another output folder"
        ) from None
    except OSError:
        # What does not fit on the disk is not written on closing either.
        with suppress(OSError):
            file.close()
        raise
    return file
