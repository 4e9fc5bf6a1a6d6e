"""`cluster.json`: how others find the scheduler of a search that is running."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from paretune.errors import UserError
from paretune.evaluators.measuring.conditions import machine_id
from paretune.files import write_whole

FILE = "cluster.json"
"""In the folder of a study, as long as its search runs on a cluster."""

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
        path = folder / FILE
        try:
            data: dict[str, Any] = json.loads(path.read_bytes())
            if (found := (data.pop("_type"), data.pop("_version"))) != (
                "paretune.cluster",
                VERSION,
            ):
                raise ValueError(f"it is {found[0]!r} in version {found[1]!r}")
            return ClusterFile(**data)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"cannot read '{path}': {error}; does the search run with another Paretune?"
            ) from None

    @contextmanager
    def published(self, folder: Path) -> Iterator[None]:
        """The file is in a folder meanwhile, for the eyes of its owner."""
        path = folder / FILE
        data = {"_type": "paretune.cluster", "_version": VERSION, **asdict(self)}
        write_whole(path, json.dumps(data, indent=2).encode(), mode=0o600)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
