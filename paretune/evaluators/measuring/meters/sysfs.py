"""Reading what the kernel tells in small files."""

from pathlib import Path

from paretune.errors import TransientError
from paretune.evaluators.measuring.meters.meter import NoMeter


def number(path: Path) -> int:
    """The whole number in a file, read for the first time.

    Raises:
        NoMeter: it cannot be read, or holds something else.
    """
    try:
        return int(path.read_text())
    except PermissionError as error:
        raise NoMeter(
            f"{path} may not be read by this user; allow it, or measure as root"
        ) from error
    except OSError as error:
        raise NoMeter(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise NoMeter(f"{path} holds no whole number") from error


def number_again(path: Path) -> int:
    """The number in a file that could be read before.

    Raises:
        TransientError: now it cannot.
    """
    try:
        return number(path)
    except NoMeter as error:
        raise TransientError(f"the energy meter broke off: {error}") from error


def text(path: Path, default: str) -> str:
    """What a file says, or the default where it does not exist or says nothing."""
    try:
        return path.read_text(errors="replace").strip() or default
    except OSError:
        return default
