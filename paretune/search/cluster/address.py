"""Where the workers of a search are, as a user spells it."""

import re
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import urlsplit

from paretune.errors import UserError

SCHEMES = ("tcp", "tls")
"""What a Dask scheduler's address begins with."""

_LOCAL = re.compile(r"local(:([1-9][0-9]{0,3}))?")
_ALLOWED = (
    "allowed are local:4 (so many workers on this machine), local (as many as it has cores for)"
    " and the address of a Dask scheduler: tcp://host:port or tls://host:port"
)


@dataclass(frozen=True)
class ClusterSpec:
    """A scheduler that exists, or workers to start on this machine.

    Attributes:
        scheduler: its address; None starts one on this machine, with workers.
        processes: workers to start; None for as many as there are cores for.
    """

    scheduler: str | None = None
    processes: int | None = None

    @staticmethod
    def parse(text: str) -> "ClusterSpec":
        """Read `local:4`, `local`, `tcp://host:port` or `tls://host:port`.

        Raises:
            UserError: it is something else.
        """
        if local := _LOCAL.fullmatch(text):
            return ClusterSpec(processes=int(local[2]) if local[2] else None)
        if not is_address(text):
            _refuse(text)
        return ClusterSpec(parse_address(text))

    def __str__(self) -> str:
        if self.scheduler is not None:
            return self.scheduler
        return "local" if self.processes is None else f"local:{self.processes}"


def is_address(text: str) -> bool:
    """Whether it is meant for the address of a scheduler."""
    return text.startswith(tuple(f"{scheme}://" for scheme in SCHEMES))


def parse_address(text: str) -> str:
    """Check the address of a scheduler.

    Raises:
        UserError: it is none.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        _refuse(text)
    # Nothing before the host, nothing after the port.
    alone = parts.netloc == text.partition("://")[2] and "@" not in text
    if not (parts.scheme in SCHEMES and host and port and alone) or re.search(r"\s", text):
        _refuse(text)
    return text


def split_address(address: str) -> tuple[str, int]:
    """Host and port of a scheduler's address."""
    parts = urlsplit(address)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def _refuse(text: str) -> NoReturn:
    raise UserError(f"cannot read the cluster '{text}'; {_ALLOWED}")
