"""`cluster.json`: how others find the scheduler of a search that is running."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from paretune.evaluators.measuring.conditions import machine_id
from paretune.notes import read_note, write_note

FILE = "cluster.json"
"""In the folder of a study, as long as its search runs on a cluster."""

KIND = "paretune.cluster"
VERSION = 1


@dataclass(frozen=True)
class ClusterFile:
    """Where the scheduler of a search is.

    Attributes:
        scheduler: its address.
        credentials: of a scheduler that was started for this search alone; None for others.
        machine: identifies where the search runs.
        host: the name of that machine, for messages.
    """

    scheduler: str
    credentials: dict[str, str] | None
    machine: str
    host: str

    @staticmethod
    def here(scheduler: str, credentials: dict[str, str] | None) -> "ClusterFile":
        """Of a search in this process."""
        return ClusterFile(scheduler, credentials, machine_id(), socket.gethostname())

    @property
    def on_this_machine(self) -> bool:
        """Whether the search runs on the machine of this process."""
        return self.machine == machine_id()

    @staticmethod
    def read(folder: Path) -> "ClusterFile | None":
        """What the file tells; None if there is none.

        Raises:
            UserError: it cannot be read.
        """
        return read_note(folder / FILE, KIND, VERSION, lambda data: ClusterFile(**data))

    @contextmanager
    def published(self, folder: Path) -> Iterator[None]:
        """The file is in a folder meanwhile, for the eyes of its owner."""
        path = folder / FILE
        write_note(path, KIND, VERSION, asdict(self))
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
