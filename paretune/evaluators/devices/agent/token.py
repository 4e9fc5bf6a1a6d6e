"""The secret that a client must know."""

import os
import re
import secrets
import sys
from pathlib import Path

from paretune.errors import UserError
from paretune.evaluators.devices.protocol import TOKEN_ENV

_ALLOWED = re.compile("[!-~]{16,1024}")


def given_token(file: str | None) -> str | None:
    """The token that the user gives, which then is no longer in the environment; None if not given.

    Args:
        file: that holds it; `-` is the first line of standard input, None the environment.

    Raises:
        UserError: it cannot be read, or is no good token.
    """
    # Not for the processes that run models.
    known = os.environ.pop(TOKEN_ENV, None)
    if file == "-":
        return _checked(_first_line(), "standard input")
    if file is not None:
        return _read(Path(file))
    return None if known is None else _checked(known, f"the environment variable {TOKEN_ENV}")


def kept_token(path: Path) -> str:
    """The token in a file of the agent's own; made if missing.

    Raises:
        UserError: it cannot be read or written.
    """
    if not path.exists():
        _make(path)
    return _read(path)


def _read(path: Path) -> str:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the token in '{path}': {error}") from None
    return _checked(text.strip(), f"'{path}'")


def _checked(token: str, where: str) -> str:
    if not _ALLOWED.fullmatch(token):
        # The token itself is a secret, also where it is wrong.
        raise UserError(f"the token in {where} must be 16 or more visible ASCII characters")
    return token


def _make(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{secrets.token_urlsafe(32)}\n")
    except OSError as error:
        # An empty file would be taken for a bad token at the next start.
        path.unlink(missing_ok=True)
        raise UserError(f"cannot write the token to '{path}': {error.strerror}") from None


def _first_line() -> str:
    line = b""
    # Unbuffered: what follows belongs to others.
    while not line.endswith(b"\n") and (byte := os.read(sys.stdin.fileno(), 1)):
        line += byte
    return line.decode(errors="replace").strip()
