"""The lock that keeps a study to one search at a time."""

import fcntl
import os
import socket
from pathlib import Path
from typing import IO

from paretune.errors import UserError


class StudyLock:
    """Held from construction to `close`, or to the end of the process, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Take the lock of the study in `folder`, which exists.

        Raises:
            UserError: another process holds it.
        """
        path = folder / "study.lock"
        self._file: IO[str] = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise UserError(
                f"another search is working on the study in '{folder}' ({holder}); wait for its"
                " end, stop it with Ctrl-C, or choose another output folder"
            ) from None
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
