"""Studies in a PostgreSQL database, in Optuna's own tables.

Optuna makes the tables and can read them, with its dashboard for example. But it writes a trial in
thirty commands, more slowly the more trials there are, and reads them through an object mapper;
here a trial is one command that takes the same time at any size, and reading is one query.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import psycopg
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from paretune.errors import UserError
from paretune.search.location import Location
from paretune.search.postgresql import commands
from paretune.search.postgresql.link import Link


@dataclass(frozen=True)
class _Row:
    """A trial as it was read."""

    number: int
    state: TrialState
    user_attrs: Mapping[str, Any]


class Database:
    """A ledger in a PostgreSQL database that holds many studies, told apart by their names."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._link = Link(location.storage, location.name)
        self._id: int | None = None
        self._last: tuple[int, int] | None = None

    def __str__(self) -> str:
        return str(self._location)

    def exists(self) -> bool:
        """
        Raises:
            UserError: the database does not answer.
        """
        ((tables,),) = self._link.rows("SELECT to_regclass('studies') IS NOT NULL", {})
        return bool(tables and self._link.rows(commands.FIND, {"name": self._location.name}))

    def claim(self) -> None:
        # Takes long to import, and readers do not need it.
        from paretune.search.postgresql.tables import make_tables

        self._link.claim()
        try:
            make_tables(self._link)
        except BaseException:
            self._link.close()
            raise

    def create(
        self, name: str, directions: Sequence[StudyDirection], attrs: Mapping[str, Any]
    ) -> None:
        assert name == self._location.name
        values = {
            "name": name,
            "directions": [direction.name for direction in directions],
            **_columns("keys", "values", attrs),
        }

        def write(connection: psycopg.Connection) -> None:
            # If an earlier try was written without an answer, it was ours: we hold the claim.
            if connection.execute(commands.FIND, values).fetchone() is None:
                connection.execute(commands.CREATE, values)

        self._link.run(write)

    def attrs(self) -> Mapping[str, Any]:
        rows = self._link.rows(commands.ATTRS, self._study())
        # Another machine may have begun it.
        here = {"base": str(self._location.base), "cwd": str(self._location.cwd)}
        return {**{key: json.loads(value) for key, value in rows}, "places": here}

    def set(self, key: str, value: Any) -> None:
        values = {**self._study(), "key": key, "value": json.dumps(value)}
        self._link.run(lambda connection: connection.execute(commands.SET, values))

    def trials(self, start: int = 0) -> list[_Row]:
        rows = self._link.rows(commands.TRIALS, {**self._study(), "start": start})
        return [
            _Row(number, TrialState[state], {row[3]: json.loads(row[4]) for row in attrs if row[3]})
            for (_, number, state), attrs in groupby(rows, key=lambda row: row[:3])
        ]

    def notes(self) -> dict[int, Mapping[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        for number, key, value in self._link.rows(commands.NOTES, self._study()):
            found.setdefault(number, {})[key] = json.loads(value)
        return dict(found)

    def append(self, trial: FrozenTrial) -> int:
        if self._last is None:
            ((*last,),) = self._link.rows(commands.LAST, self._study())
            self._last = last[0], last[1]
        mark = uuid.uuid4().hex
        values = {
            **self._study(),
            "count": self._last[0],
            "last": self._last[1],
            "mark": json.dumps(mark),
            "state": trial.state.name,
            "now": datetime.now(UTC).replace(tzinfo=None),
            "figures": trial.values or [],
            **_columns("keys", "values", {**trial.user_attrs, "key": mark}),
            **_columns("note_keys", "notes", trial.system_attrs),
        }
        tried = False

        def write(connection: psycopg.Connection) -> tuple[int, int]:
            nonlocal tried
            found = connection.execute(commands.WRITTEN, values).fetchone() if tried else None
            tried = True
            found = found or connection.execute(commands.APPEND, values).fetchone()
            assert found is not None
            return found[0], found[1]

        trial_id, number = self._link.run(write)
        self._last = number + 1, trial_id
        return number

    def close(self) -> None:
        self._link.close()

    def _study(self) -> dict[str, int]:
        if self._id is None:
            rows = (
                self._link.rows(commands.FIND, {"name": self._location.name})
                if self.exists()
                else []
            )
            if not rows:
                raise UserError(f"{self._location} does not exist")
            self._id = rows[0][0]
        return {"study": self._id}


def _columns(keys: str, values: str, attrs: Mapping[str, Any]) -> dict[str, list[str]]:
    return {keys: list(attrs), values: [json.dumps(value) for value in attrs.values()]}
