"""The journal of a study: an Optuna journal file that belongs to one process at a time."""

import os
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from paretune.errors import UserError
from paretune.search.samplers import hush_optuna


class _HeldAlready(JournalFileOpenLock):
    """The journal's own lock outlives a killed process; the study's lock does its work."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def open_journal(path: Path) -> JournalStorage:
    """Read a journal, or begin one. Whoever writes to it holds the study's lock."""
    hush_optuna()
    return JournalStorage(JournalFileBackend(str(path), lock_obj=_HeldAlready(str(path))))


def only_study(storage: JournalStorage) -> int:
    """The id of the one study in a journal.

    Raises:
        UserError: there is none, or there are several.
    """
    studies = storage.get_all_studies()
    if len(studies) != 1:
        raise UserError(f"its journal holds {len(studies)} studies instead of one")
    return storage.get_study_id_from_name(studies[0].study_name)


def cut_off_half_line(path: Path) -> None:
    """Optuna skips a half-written last line when it reads, but appends the next one to it."""
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)
            os.fsync(file.fileno())
