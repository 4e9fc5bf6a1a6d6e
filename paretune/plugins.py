"""Plugins by entry point: other people's packages add one without touching this one."""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from paretune.errors import UserError
from paretune.importing import describe
from paretune.names import nearest


def find_plugins(group: str) -> Mapping[str, EntryPoint]:
    """The installed plugins of a group (`paretune.evaluators`, ...) by name; imports none of them.

    Raises:
        UserError: two packages use the same name.
    """
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=group), key=lambda p: (p.name, _owner(p))):
        other = found.setdefault(point.name, point)
        if other is not point:
            raise UserError(
                f"two packages bring a plugin '{point.name}' for '{group}': {_owner(other)}"
                f" ({other.value}) and {_owner(point)} ({point.value}); uninstall one"
            )
    return found


def load_plugin(group: str, name: str) -> Any:
    """Import the plugin `name` of a group.

    Raises:
        UserError: no such plugin, two of that name, or its package does not import.
    """
    found = find_plugins(group)
    if name not in found:
        raise UserError(f"no plugin '{name}' for '{group}'{nearest(name, found)}")
    return _load(found[name])


def load_plugins(group: str) -> dict[str, Any]:
    """Import all plugins of a group, by name.

    Raises:
        UserError: two of the same name, or one whose package does not import.
    """
    return {name: _load(point) for name, point in find_plugins(group).items()}


def _load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:
        raise UserError(
            f"the plugin '{point.name}' of the package {_owner(point)} ({point.value})"
            f" does not import: {describe(error)}"
        ) from error


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "unknown package"
