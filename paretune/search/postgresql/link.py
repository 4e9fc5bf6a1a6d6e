"""A connection to a PostgreSQL database that is made again when it is lost."""

import hashlib
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from time import monotonic, sleep
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo

from paretune.errors import UserError
from paretune.search.storage_url import StorageUrl

PATIENCE = 600.0
"""Seconds that a search waits for a database that has gone away."""

_MOMENT = "1s"
"""The server may take as long to notice that whoever held the claim is gone."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 15.0

# Both sides notice within a minute or so that the other one is gone, cable and all.
_ALIVE = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
_SERVER_ALIVE = """
    SELECT set_config('tcp_keepalives_idle', '30', false),
           set_config('tcp_keepalives_interval', '10', false),
           set_config('tcp_keepalives_count', '3', false)
"""
_HOLDER = """
    SELECT pid, application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid = %s AND objid = %s
"""

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Link:
    """Runs work on a database.

    Without a claim, every work has a connection of its own, and a database that does not answer is
    an error. With one, there is a single connection, and the claim lasts as long as it does: the
    server frees it when the process ends, however it ends. So what runs here runs while nobody else
    holds the claim.
    """

    def __init__(self, url: StorageUrl, study: str) -> None:
        """
        Args:
            study: named in messages, and what the claim is for.

        Raises:
            UserError: libpq cannot read the URL.
        """
        host = socket.gethostname().encode("ascii", "replace").decode()
        # The server keeps 63 characters.
        self._me = f"paretune {secrets.token_hex(4)} process {os.getpid()} on {host}"[:63]
        try:
            self._info = make_conninfo(url.full, application_name=self._me, **_ALIVE)
        except psycopg.Error:
            # Its message may show the password.
            raise UserError(f"cannot read the storage '{url}': libpq refuses it") from None
        self.url = url
        self._study = study
        self._key = _advisory_key(study)
        self._connection: psycopg.Connection | None = None
        self._claimed = False
        self._mutex = threading.RLock()

    def claim(self) -> None:
        """From here on, work on one connection that nobody else can have for this study.

        Raises:
            UserError: another process has the claim, or the database cannot be used.
        """
        try:
            self._connection = self._connect(claiming=True)
        except psycopg.Error as error:
            raise UserError(self.unusable(error)) from None
        self._claimed = True

    def run(self, work: Callable[[psycopg.Connection], _T]) -> _T:
        """Do some work, which is one command or may be repeated.

        With a claim, it is tried again when the database goes away, for `PATIENCE`.

        Raises:
            UserError: the database cannot be used, or somebody else got the claim meanwhile.
        """
        if self._claimed:
            with self._mutex:
                return self._patiently(work)
        try:
            with self._connect() as connection:
                return work(connection)
        except psycopg.Error as error:
            raise UserError(self.unusable(error)) from None

    def rows(self, command: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows that one command returns."""
        return self.run(lambda one: one.execute(command.encode(), values).fetchall())

    def close(self) -> None:
        """Give the claim back."""
        self._claimed = False
        self._drop()

    def plain(self) -> psycopg.Connection:
        """One more connection, which the caller closes."""
        return psycopg.connect(self._info, autocommit=True)

    def unusable(self, error: BaseException) -> str:
        return f"the database at {self.url} cannot be used: {reason(error)}"

    def _patiently(self, work: Callable[[psycopg.Connection], _T]) -> _T:
        began: float | None = None
        pause = _FIRST_PAUSE
        while True:
            try:
                self._connection = self._connection or self._connect(claiming=True)
                found = work(self._connection)
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                self._drop()
                if began is None:
                    began = monotonic()
                    _log.warning(
                        "the database at %s does not answer; waiting: %s", self.url, reason(error)
                    )
                if monotonic() - began >= PATIENCE:
                    raise UserError(
                        f"the database at {self.url} has not answered for {PATIENCE / 60:.0f}"
                        " minutes; once it does, the same command goes on with what it has:"
                        f" {reason(error)}"
                    ) from None
                sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            if began is not None:
                _log.warning("the database answers again")
            return found

    def _connect(self, *, claiming: bool = False) -> psycopg.Connection:
        connection = self.plain()
        try:
            if claiming:
                connection.execute(_SERVER_ALIVE)
                self._take(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _take(self, connection: psycopg.Connection) -> None:
        connection.execute("SELECT set_config('lock_timeout', %s, false)", (_MOMENT,))
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", (self._key,))
            return
        except psycopg.errors.LockNotAvailable:
            pass
        finally:
            connection.execute("RESET lock_timeout")
        low = self._key % 2**32
        high = self._key // 2**32 % 2**32
        pid, holder = connection.execute(_HOLDER, (high, low)).fetchone() or (None, None)
        if holder == self._me:
            # The connection that was lost; the server has not noticed.
            connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
            raise psycopg.OperationalError("the server still holds the connection that was lost")
        who = " ".join((holder or "").split()[2:]) or "another process"
        raise UserError(
            f"another search is working on the study '{self._study}' in {self.url} ({who}); wait"
            " for its end, stop it with Ctrl-C, or choose another name"
        )

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def reason(error: BaseException) -> str:
    """An error of the database in one line."""
    return " ".join(str(error).split())


def _advisory_key(study: str) -> int:
    """64 bits that stand for the study in its database."""
    digest = hashlib.sha256(f"paretune.study {study}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
