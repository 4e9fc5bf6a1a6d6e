"""Where the study of a folder is: in the folder's journal, or in a database."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretune.errors import UserError
from paretune.notes import read_note, write_note
from paretune.search.journal import JOURNAL, Journal
from paretune.search.ledger import Ledger
from paretune.search.storage_url import StorageUrl

LOCATION = "study.json"
"""File in the folder of a study that is in a database."""

KIND = "paretune.location"
VERSION = 1


@dataclass(frozen=True)
class Location:
    """A study in a database, as the file in its folder tells.

    Attributes:
        storage: the database.
        name: of the study there.
        base: the folder that paths in its config are relative to, on this machine.
        cwd: the folder where the search was begun on this machine.
    """

    storage: StorageUrl
    name: str
    base: Path
    cwd: Path

    def __str__(self) -> str:
        return f"study '{self.name}' in {self.storage}"

    def write(self, folder: Path) -> None:
        """Write the file, for the eyes of its owner: the URL may hold a password."""
        data = {
            "storage": self.storage.full,
            "name": self.name,
            "base": str(self.base),
            "cwd": str(self.cwd),
        }
        write_note(folder / LOCATION, KIND, VERSION, data)

    @staticmethod
    def read(folder: Path) -> "Location | None":
        """What the folder's file tells; None if there is no such file.

        Raises:
            UserError: it cannot be read.
        """
        return read_note(folder / LOCATION, KIND, VERSION, Location._of)

    @staticmethod
    def _of(data: dict[str, Any]) -> "Location":
        storage = StorageUrl.parse(data["storage"])
        return Location(storage, data["name"], Path(data["base"]), Path(data["cwd"]))


def find_ledger(folder: Path) -> Ledger:
    """The records of the folder's study, which may not have been begun yet.

    Raises:
        UserError: the folder's file cannot be read, or the database's driver is missing.
    """
    location = Location.read(folder)
    return Journal(folder) if location is None else _database(location)


def require_study(folder: Path) -> None:
    """Refuse a folder without a study.

    Raises:
        UserError: there is none, or its database cannot be used.
    """
    if not (ledger := find_ledger(folder)).exists():
        raise UserError(
            f"no study in '{folder}': there is no {ledger}; a study is the output folder of"
            " `paretune search CONFIG`, or the config file"
        )


def settle(folder: Path, storage: StorageUrl | None, name: str, base: Path) -> None:
    """Fix where the study of a folder is, before it is begun or gone on with.

    Args:
        folder: exists.
        storage: the database; None leaves it where it is, or in the folder.
        name: of the study.
        base: the folder that paths in its config are relative to.

    Raises:
        UserError: the study is somewhere else already, or the database cannot be used.
    """
    known = Location.read(folder)
    if storage is None and known is None:
        return
    if storage is None:
        storage = known.storage if known else None
    assert storage is not None
    if Journal(folder).exists():
        raise UserError(
            f"'{folder}' holds a study in its {JOURNAL}; to keep a study in {storage}, choose"
            " another output folder"
        )
    wanted = Location(storage, name, base.resolve(), Path.cwd())
    if known is not None and not (storage.same_place(known.storage) and name == known.name):
        if _database(known).exists():
            raise UserError(
                f"'{folder}' is the folder of the {known}; for the {wanted}, choose another output"
                f" folder, or remove '{folder / LOCATION}' if it has moved there"
            )
        known = None
    _database(wanted).exists()
    if known is None:
        wanted.write(folder)
    elif known.storage != storage:
        Location(storage, name, known.base, known.cwd).write(folder)


def _database(location: Location) -> Ledger:
    try:
        from paretune.search.postgresql import Database
    except ImportError as error:
        raise UserError(
            f"a study in PostgreSQL needs psycopg ({error}); pip install 'paretune[postgresql]'"
        ) from None
    return Database(location)
