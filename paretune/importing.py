"""Finding a user's own Python object by its spelling, `package.module:name`."""

import importlib
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from paretune.errors import UserError
from paretune.names import hint


def import_object(spec: str, *, what: str) -> Callable[..., Any]:
    """Import the callable that `spec` spells.

    The working folder is searched first, as with `python -m`.

    Args:
        spec: `package.module:function`; dots after the colon reach into a class.
        what: the config key that holds `spec`, for the messages.

    Raises:
        UserError: bad spelling, no such module or name, an error while importing, not callable.
    """
    module_name, colon, name = spec.partition(":")
    parts = [*module_name.split("."), *name.split(".")]
    if not colon or not all(part.isidentifier() for part in parts):
        raise UserError(f"{what}: '{spec}' is not of the form 'package.module:function'")
    target: Any = _import_module(module_name, spec, what)
    for part in name.split("."):
        if not hasattr(target, part):
            known = [n for n in dir(target) if not n.startswith("_")]
            raise UserError(f"{what}: '{module_name}' has no '{name}'{hint(part, known)}")
        target = getattr(target, part)
    if not callable(target):
        kind = type(target).__name__
        raise UserError(f"{what}: '{spec}' must be a function, but it is of type {kind}")
    result: Callable[..., Any] = target
    return result


def call_object(what: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a user's function; an error in it is theirs, so it becomes a message.

    Args:
        what: the config key that names `function`, for the message.

    Raises:
        UserError: the function raised; the cause is chained, its place and text are in the message.
    """
    try:
        return function(*args, **kwargs)
    except Exception as error:
        raise UserError(f"{what}: {spell(function)} raised {describe(error)}") from error


def spell(function: Callable[..., Any]) -> str:
    """`module:name` of a function, as `import_object` reads it."""
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', None) or '?'}:{name}"


def spelled(value: Any) -> Any:
    """The same with functions replaced by their names, for looking at: JSON where the rest is."""
    if isinstance(value, Mapping):
        return {key: spelled(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [spelled(part) for part in value]
    return spell(value) if callable(value) else value


def describe(error: BaseException) -> str:
    """One line: the error's type, text and the place that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    # The last frame is ours where the call itself was wrong, such as an unknown argument.
    known = frames and frames[-1].filename != __file__
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if known else ""
    return f"{type(error).__name__}: {error}{place}"


def _import_module(name: str, spec: str, what: str) -> Any:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    # A module written a moment ago must be found.
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(f"{missing}."):
            raise UserError(f"{what}: importing '{name}' raised {describe(error)}") from error
        raise UserError(
            f"{what}: no module '{missing}' for '{spec}'; looked in the working folder {folder}"
            " and in the Python path"
        ) from None
    except Exception as error:
        raise UserError(f"{what}: importing '{name}' raised {describe(error)}") from error
