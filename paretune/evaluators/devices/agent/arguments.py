"""The agent's command line, with nothing but the standard library."""

import argparse
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from paretune.errors import UserError
from paretune.evaluators.processes.memory import default_memory_limit
from paretune.sizes import parse_size

DEFAULT_PORT = 8571
_DESCRIPTION = """\
Turn this machine into a measuring device: an agent that runs what a search asks for, one
measurement at a time, until it is ended with Ctrl-C.

  {prog}
      For searches on this machine itself. The token that they need is made at the first
      start; where it lies is printed.

  {prog} --host 0.0.0.0 --cert cert.pem --key key.pem
      For searches on other machines, over TLS.

  {prog} --port 0 --token-file - --exit-with-stdin
      For a program that starts it: any free port, which is printed as one line of JSON; the
      token is the first line of standard input, and the agent ends where that ends.
"""


@dataclass(frozen=True)
class Arguments:
    """What the command line says.

    Attributes:
        folder: for all that the agent writes.
        keep: bytes of uploaded files together.
        max_file: bytes of one.
        max_seconds: of a job.
        max_memory: bytes of a job's process.
        max_queue: jobs that may wait.
        sysfs: where energy meters are looked for.
        lease: seconds without a sign of the client, after which its job is dropped.
        patience: seconds after which connections that stall are cut off.
        host, port: to listen at.
        token_file: that holds the token; `-` is standard input.
        cert, key: PEM files for TLS.
        exit_with_stdin: end where standard input does.
    """

    folder: Path
    keep: int
    max_file: int
    max_seconds: float
    max_memory: int
    max_queue: int
    sysfs: Path
    lease: float
    patience: float
    host: str
    port: int
    token_file: str | None
    cert: Path | None
    key: Path | None
    exit_with_stdin: bool


def read_arguments(arguments: Sequence[str] | None, prog: str) -> Arguments:
    """Read `serve …`; prints and exits where that is wrong or help is asked for.

    Args:
        arguments: of the command; None for those of this process.
        prog: what starts it, for the messages.
    """
    parser = argparse.ArgumentParser(prog, description="Paretune's agent on a measuring device.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="turn this machine into a measuring device",
        description=_DESCRIPTION.format(prog=f"{prog} serve"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_network(serve)
    _add_limits(serve)
    given = parser.parse_args(arguments)
    if (given.cert is None) != (given.key is None):
        serve.error("--cert and --key go together: give both or none")
    return Arguments(**vars(given))


def _add_network(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where it listens, and to whom")
    add = group.add_argument
    add("--host", default="127.0.0.1", help="address to listen at (default: this machine only)")
    add(
        "--port",
        type=_port,
        default=DEFAULT_PORT,
        help=f"0 takes any that is free (default: {DEFAULT_PORT})",
    )
    add(
        "--token-file",
        metavar="FILE",
        help="holds the token that clients must know, '-' is the first line of standard input"
        " (default: $PARETUNE_TOKEN, or one is made and kept in the agent's folder)",
    )
    add(
        "--patience",
        type=_seconds,
        metavar="SECONDS",
        default="30",
        help="after which connections that stall are cut off (default: 30)",
    )
    add("--cert", type=Path, metavar="PEM", help="certificate (chain) for TLS")
    add("--key", type=Path, metavar="PEM", help="its private key")
    add("--exit-with-stdin", action="store_true", help="end when standard input is closed")


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what it gives")
    add = group.add_argument
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "paretune" / "device"
    memory = default_memory_limit() or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    add(
        "--folder",
        type=Path,
        metavar="FOLDER",
        default=folder,
        help=f"for its files (default: {folder})",
    )
    add(
        "--keep",
        type=_size,
        metavar="SIZE",
        default="4GiB",
        help="of uploaded files (default: 4GiB)",
    )
    add(
        "--max-file",
        type=_size,
        metavar="SIZE",
        default="2GiB",
        help="size of one file (default: 2GiB)",
    )
    add(
        "--max-seconds",
        type=_seconds,
        metavar="SECONDS",
        default="3600",
        help="of one job (default: 3600)",
    )
    add(
        "--max-memory",
        type=_size,
        metavar="SIZE",
        default=str(memory),
        help="of one job (default: three quarters of what is available at the start)",
    )
    add(
        "--max-queue",
        type=_count,
        metavar="N",
        default="32",
        help="jobs that may wait (default: 32)",
    )
    add(
        "--sysfs",
        type=Path,
        default="/sys",
        metavar="FOLDER",
        help="where energy meters are looked for (default: /sys)",
    )
    add(
        "--lease",
        type=_seconds,
        metavar="SECONDS",
        default="60",
        help="seconds after which the job of a client that is gone is dropped (default: 60)",
    )


def _explained(parse: Callable[[str], float], allowed: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            return parse(text)
        except (ValueError, UserError):
            raise argparse.ArgumentTypeError(f"must be {allowed}, but got '{text}'") from None

    return read


def _within(low: float, high: float, number: float) -> float:
    if not low <= number <= high:
        raise ValueError(number)
    return number


_size = _explained(parse_size, "a size such as 4GiB or 500MB")
_port = _explained(lambda text: _within(0, 65535, int(text)), "a number from 0 to 65535")
_count = _explained(lambda text: _within(1, math.inf, int(text)), "a whole number, 1 or more")
_seconds = _explained(
    lambda text: _within(1e-3, 1e6, float(text)), "a number of seconds, more than 0"
)
