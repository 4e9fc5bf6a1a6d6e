"""Small private files in a study's folder: JSON with a type and a version, whole or not there."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from paretune.errors import UserError
from paretune.files import write_whole
from paretune.versions import require_version

_T = TypeVar("_T")


def write_note(path: Path, kind: str, version: int, data: Mapping[str, Any]) -> None:
    """Write JSON values, for the eyes of the owner."""
    tagged = {"_type": kind, "_version": version, **data}
    write_whole(path, json.dumps(tagged, indent=2).encode(), mode=0o600)


def read_note(
    path: Path, kind: str, version: int, build: Callable[[dict[str, Any]], _T]
) -> _T | None:
    """Read what `write_note` wrote; None if there is no such file.

    Args:
        build: makes something of the data.

    Raises:
        UserError: the file is something else, or of another version.
    """
    try:
        data: dict[str, Any] = json.loads(path.read_bytes())
        if (found := data.pop("_type")) != kind:
            raise ValueError(f"its type is {found!r}")
        require_version("it", data.pop("_version"), version)
        return build(data)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UserError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else error
        raise UserError(f"cannot read '{path}': {what}") from None
