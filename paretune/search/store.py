"""The store of a study: the only truth about it, durable after every trial."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from optuna.study import StudyDirection

from paretune.errors import MachineError, TransientError, UserError
from paretune.evaluators import Measurement
from paretune.garbage import no_collecting
from paretune.importing import describe
from paretune.search.info import StudyInfo
from paretune.search.ledger import Ledger
from paretune.search.location import find_ledger, require_study
from paretune.search.lock import StudyLock
from paretune.search.records import (
    info_from_json,
    info_to_json,
    measurements_from_json,
    measurements_to_json,
    require_measured,
    trial_from_optuna,
    trial_to_optuna,
)
from paretune.search.trial import Trial, TrialStatus

_ADDED = ("confirmed", "test")


class StudyStore:
    """A study: what it is about, and all its trials, each of which is one write.

    Its records are in the folder's journal, or in a database that the folder names. Anyone may
    read while a search writes. Writing takes the study's lock; who holds it is the only one that
    writes, and reads nothing twice.

    Attributes:
        folder: where it is, or its files are.
        info: what it is about.
        base: the folder of the config, which paths in `info.config` are relative to.
        cwd: the folder where the search was begun; user functions may live there.
    """

    def __init__(self, folder: Path, ledger: Ledger, lock: StudyLock | None) -> None:
        """Use `StudyStore.create` or `StudyStore.open`."""
        self.folder = folder
        self._ledger = ledger
        self._lock = lock
        with no_collecting():
            attrs = ledger.attrs()
        self.info: StudyInfo = info_from_json(attrs.get("paretune", {}))
        places = attrs.get("places", {})
        self.base, self.cwd = Path(places.get("base", ".")), Path(places.get("cwd", "."))
        self._searched: dict[int, Trial] = {}
        self._trials: dict[int, Trial] = {}
        self._attrs: Mapping[str, Any] = {}
        self._seen = 0
        self._behind = True

    @staticmethod
    def create(
        folder: Path, info: StudyInfo, *, base: Path | None = None, lock: StudyLock | None = None
    ) -> "StudyStore":
        """Begin a study, for writing.

        Args:
            base: the folder that paths in `info.config` are relative to; by default the current.
            lock: of the folder, if the caller holds it already; it passes to the store.

        Raises:
            UserError: the folder cannot be written, or holds a study already.
        """
        require_writable(folder)
        lock = lock or StudyLock(folder)
        try:
            if lock.ledger.exists():
                raise UserError(f"'{folder}' holds a study already")
            directions = [StudyDirection[m.direction.upper()] for m in info.objectives]
            places = {"base": str((base or Path()).resolve()), "cwd": str(Path.cwd())}
            attrs = {"places": places, "paretune": info_to_json(info)}
            lock.ledger.create(info.name, directions, attrs)
            return StudyStore(folder, lock.ledger, lock)
        except BaseException:
            lock.close()
            raise

    @staticmethod
    def open(
        folder: Path, *, writable: bool = False, lock: StudyLock | None = None
    ) -> "StudyStore":
        """Open a study.

        Args:
            writable: take the lock, and cut off what a killed process left half-written.
            lock: as for `create`.

        Raises:
            UserError: there is none, it cannot be read, or another search is writing to it.
        """
        require_study(folder)
        lock = lock or StudyLock(folder) if writable else None
        try:
            with _reading(folder):
                return StudyStore(folder, lock.ledger if lock else find_ledger(folder), lock)
        except BaseException:
            if lock is not None:
                lock.close()
            raise

    def close(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def trials(self) -> list[Trial]:
        """All finished trials, those that another process wrote since the last call included.

        Their violations are those of their best figures: the confirmed ones, if there are any.

        Raises:
            UserError: they cannot be read.
        """
        self._refresh()
        return list(self._trials.values())

    def searched_trials(self) -> list[Trial]:
        """The same with the figures that the search saw, as if nothing had been confirmed."""
        self._refresh()
        return list(self._searched.values())

    def record(self, trial: Trial, sampler_attrs: Mapping[str, Any] | None = None) -> Trial:
        """Write a finished trial; when this returns, it is durable.

        Args:
            trial: its number is ignored.
            sampler_attrs: what the sampler noted on it, JSON values.

        Returns:
            the trial with its number and its violations.
        """
        self._require_lock()
        frozen = trial_to_optuna(trial, self.info, sampler_attrs or {})
        try:
            numbered = replace(trial, number=self._ledger.append(frozen))
        except OSError as error:
            raise UserError(f"cannot write to the study in '{self.folder}': {error}") from error
        judged = self._judged(numbered)
        if self._seen == judged.number:
            self._searched[judged.number] = self._trials[judged.number] = judged
            self._seen += 1
        else:
            self._behind = True
        return judged

    def sampler_attrs(self) -> dict[int, Mapping[str, Any]]:
        """Trial number to what the sampler noted on it."""
        with _reading(self.folder):
            return self._ledger.notes()

    def set_confirmed(self, number: int, measurements: Mapping[str, Measurement]) -> Trial:
        """Write what a front member measured after the search; returns it with that."""
        return self._add("confirmed", number, measurements)

    def set_test(self, number: int, measurements: Mapping[str, Measurement]) -> Trial:
        """Write what a front member measured on the test split; returns it with that."""
        return self._add("test", number, measurements)

    @property
    def hypervolume_reference(self) -> tuple[float, ...] | None:
        """The point up to which the hypervolume counts, less is better; None before it is fixed."""
        self._refresh()
        found = self._attrs.get("hypervolume_reference")
        if found is None:
            return None
        with _reading(self.folder):
            point = tuple(map(float, found))
            if len(point) != len(self.info.objectives):
                raise ValueError(f"hypervolume_reference: {found}")
            return point

    def set_hypervolume_reference(self, point: tuple[float, ...]) -> None:
        self._set("hypervolume_reference", list(point))

    def require_same(self, identity: Mapping[str, str]) -> None:
        """Refuse to go on with another model, other data or another space.

        Raises:
            UserError: names every difference.
        """
        known = self.info.identity
        lines = [
            f"  {key}: was {known.get(key, 'absent')}, is now {identity.get(key, 'absent')}"
            for key in dict.fromkeys((*known, *identity))
            if known.get(key) != identity.get(key)
        ]
        if lines:
            raise UserError(
                f"the study in '{self.folder}' is about something else; undo the difference or"
                " choose another output folder:\n" + "\n".join(lines)
            )

    def _refresh(self) -> None:
        """Read what was written since the last time, all or nothing."""
        if self._lock is not None and not self._behind:
            return
        with _reading(self.folder):
            with no_collecting():
                stored = self._ledger.trials(self._seen)
                finished = [one for one in stored if one.state.is_finished()]
                read = [self._judged(trial_from_optuna(one, self.info)) for one in finished]
            new = {trial.number: trial for trial in read}
            searched = self._searched | new
            attrs = dict(self._ledger.attrs())
            added = {
                number
                for key, value in attrs.items()
                if (number := _number(key)) in searched
                and (number in new or self._attrs.get(key) != value)
            }
            completed = {number: self._completed(searched[number], attrs) for number in added}
        self._seen += len(stored)
        self._searched, self._trials = searched, self._trials | new | completed
        self._attrs = attrs
        self._behind = False

    def _completed(self, trial: Trial, attrs: Mapping[str, Any]) -> Trial:
        """The trial with what was added to it after the search."""
        confirmed, test = (attrs.get(f"{name}:{trial.number}") or {} for name in _ADDED)
        completed = replace(
            trial,
            confirmed=measurements_from_json(confirmed),
            test=measurements_from_json(test),
        )
        require_measured(completed, self.info)
        return self._judged(completed)

    def _judged(self, trial: Trial) -> Trial:
        """The trial with the constraints that its figures violate."""
        if trial.status is not TrialStatus.COMPLETE or not self.info.constraints:
            return trial
        figures = trial.figures
        broken = tuple(str(c) for c in self.info.constraints if c.violation(figures) > 0)
        return replace(trial, violations=broken)

    def _add(self, name: str, number: int, measurements: Mapping[str, Measurement]) -> Trial:
        self._set(f"{name}:{number}", measurements_to_json(measurements))
        self._trials[number] = self._completed(self._searched[number], self._attrs)
        return self._trials[number]

    def _set(self, key: str, value: Any) -> None:
        self._require_lock()
        self._refresh()
        self._ledger.set(key, value)
        # As it is read back.
        self._attrs = {**self._attrs, key: json.loads(json.dumps(value))}

    def _require_lock(self) -> None:
        if self._lock is None:
            raise RuntimeError("the study was opened for reading")


def _number(key: str) -> int | None:
    """The trial that an attribute was added to, such as 7 for `confirmed:7`."""
    name, _, number = key.partition(":")
    return int(number) if name in _ADDED and number.isdecimal() else None


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """What was damaged, or edited by hand, breaks its readers in any way."""
    try:
        yield
    except (TransientError, MachineError):
        raise
    except Exception as error:
        text = error if isinstance(error, UserError | OSError) else describe(error)
        raise UserError(f"cannot read the study in '{folder}': {text}") from error


def require_writable(folder: Path) -> None:
    """Make the folder and a file in it.

    Raises:
        UserError: that is not possible.
    """
    probe = folder / f".probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"cannot write to the folder '{folder}': {error.strerror}") from None
    except ValueError as error:
        # Characters that no path may hold.
        raise UserError(f"cannot write to the folder {str(folder)!r}: {error}") from None
