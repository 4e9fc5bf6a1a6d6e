"""The journal of a study: an Optuna journal file that belongs to one process at a time."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from paretune.errors import UserError
from paretune.search.samplers import hush_optuna

JOURNAL = "study.journal"


class Journal:
    """A ledger in a folder: one line for every trial. The folder's lock guards it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL

    def __str__(self) -> str:
        return JOURNAL

    def exists(self) -> bool:
        return self._path.is_file()

    def claim(self) -> None:
        if self.exists():
            cut_off_half_line(self._path)

    def create(
        self, name: str, directions: Sequence[StudyDirection], attrs: Mapping[str, Any]
    ) -> None:
        draft = self._path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        storage = open_journal(draft)
        study = storage.create_new_study(directions, name)
        for key, value in attrs.items():
            storage.set_study_user_attr(study, key, value)
        draft.replace(self._path)

    def attrs(self) -> Mapping[str, Any]:
        return self._storage.get_study_user_attrs(self._study)

    def set(self, key: str, value: Any) -> None:
        self._storage.set_study_user_attr(self._study, key, value)

    def trials(self, start: int = 0) -> list[FrozenTrial]:
        return self._storage.get_all_trials(self._study, deepcopy=False)[start:]

    def notes(self) -> dict[int, Mapping[str, Any]]:
        return {trial.number: trial.system_attrs for trial in self.trials()}

    def append(self, trial: FrozenTrial) -> int:
        trial_id = self._storage.create_new_trial(self._study, template_trial=trial)
        return self._storage.get_trial_number_from_id(trial_id)

    def close(self) -> None:
        pass

    @cached_property
    def _storage(self) -> JournalStorage:
        return open_journal(self._path)

    @cached_property
    def _study(self) -> int:
        return only_study(self._storage)


class _HeldAlready(JournalFileOpenLock):
    """The journal's own lock outlives a killed process; the study's lock does its work."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


class _Backend(JournalFileBackend):
    """Leaves no half-written line behind when the disk is full."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        try:
            super().append_logs(logs)
        except BaseException:
            with suppress(OSError):
                cut_off_half_line(Path(self._file_path))
            raise


def open_journal(path: Path) -> JournalStorage:
    """Read a journal, or begin one. Whoever writes to it holds the study's lock."""
    hush_optuna()
    return JournalStorage(_Backend(str(path), lock_obj=_HeldAlready(str(path))))


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
