"""What must be installed alike on all machines of a cluster: it decides what is measured."""

import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from paretune.errors import UserError

PACKAGES = ("paretune", "distributed", "cloudpickle", "onnx", "onnxruntime")
TALKING = ("python", "distributed", "cloudpickle")
"""What a scheduler needs, too."""

Versions = Mapping[str, str | None]
"""Of `python` and `PACKAGES`; None is not installed."""


def installed() -> Versions:
    """The versions here."""
    return {"python": _python(sys.version_info), **{name: _version(name) for name in PACKAGES}}


def reported(told: Mapping[str, str | None]) -> Versions:
    """The versions out of what Dask tells of a machine."""
    python = (told.get("python") or "").split(".")
    return {"python": _python(python), **{name: told.get(name) for name in PACKAGES}}


def require_alike(
    here: Versions, there: Versions, who: str, names: tuple[str, ...] = ("python", *PACKAGES)
) -> None:
    """Compare.

    Args:
        who: the others, for the message.

    Raises:
        UserError: something is not the same.
    """
    wrong = [
        f"{name} {there.get(name) or 'is missing'} instead of {here.get(name) or 'none'}"
        for name in names
        if there.get(name) != here.get(name)
    ]
    if wrong:
        raise UserError(
            f"{who} cannot work for this search, its versions differ: {', '.join(wrong)};"
            " install the same on all machines"
        )


def _python(parts: Sequence[object]) -> str:
    return f"{parts[0]}.{parts[1]}" if len(parts) > 1 else "unknown"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
