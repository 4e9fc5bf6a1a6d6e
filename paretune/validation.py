"""What is wrong with a config, for people: the place, what was found, what is allowed."""

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails

from paretune.durations import LONGEST, parse_duration
from paretune.errors import UserError
from paretune.names import nearest
from paretune.sizes import LARGEST, parse_size

_MOST = 1000
"""Characters of a line."""

_T = TypeVar("_T")
ModelT = TypeVar("ModelT", bound=BaseModel)

_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "bool": "true or false",
    "tuple": "a list",
    "list": "a list",
    "dict": "a mapping",
    "mapping": "a mapping",
    "model": "a mapping",
    "path": "a path",
}


def reading(parse: Callable[[str], _T], also: Any) -> Callable[[Any], Any]:
    """Let a field be given as text that `parse` reads; its `UserError` becomes the field's error.

    Args:
        also: the types that are taken as they are.
    """

    def read(value: Any) -> Any:
        if isinstance(value, str) and not isinstance(value, StrEnum):
            try:
                return parse(value)
            except UserError as error:
                raise ValueError(str(error)) from None
        if isinstance(value, bool) or not isinstance(value, also):
            raise ValueError(f"must be text, but got {value!r}")
        return value

    return read


Seconds = Annotated[
    float, Field(gt=0, le=LONGEST), BeforeValidator(reading(parse_duration, int | float))
]
"""A field that is a time: a number of seconds, or text such as `10m`."""

Size = Annotated[int, Field(gt=0, le=LARGEST), BeforeValidator(reading(parse_size, int))]
"""A field that is a number of bytes, or text such as `4GiB`."""


def explain(
    error: ValidationError, model: type[BaseModel], source: str, also: Collection[str] = ()
) -> str:
    """One line a mistake, each with its place such as `search.sampler`.

    Args:
        model: what was validated; its fields are the keys that are allowed.
        source: begins every line: the file's name.
        also: keys beside those fields that are allowed, and read by someone else.
    """
    lines = dict.fromkeys(_line(details, model, also) for details in error.errors())
    return "\n".join(f"{source}: {_cut(line)}" for line in lines)


def parse_options(
    model: type[ModelT], given: Mapping[str, Any], where: str, *, also: Collection[str] = ()
) -> ModelT:
    """Build the config, or a plugin's options, from what the user says.

    Args:
        model: the class of the config or the options.
        given: keys and values.
        where: names the file or the plugin, for the messages.
        also: keys that may stand beside them in the config, for the messages.

    Raises:
        UserError: an unknown key (with the nearest known one), or a value that is not
            allowed. Every mistake is named.
    """
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        raise UserError(explain(error, model, where, also)) from None
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: it holds text that is no Unicode: {error}") from None


def _line(details: ErrorDetails, model: type[BaseModel], also: Collection[str]) -> str:
    place, kind = details["loc"], details["type"]
    where = _dotted(place)
    if kind == "extra_forbidden":
        return f"{where}: unknown key '{place[-1]}'{_nearest_key(model, place, also)}"
    if kind == "missing":
        return f"the key '{where}' is missing"
    if kind == "value_error":
        text = details["msg"].removeprefix("Value error, ")
        # A rule about the whole has no place of its own.
        return f"{where}: {text}" if where else text
    expected = _EXPECTED.get(kind.partition("_")[0])
    if kind.endswith(("_type", "_parsing", "_from_float")) and expected:
        return f"{where}: must be {expected}, but got {_shown(details['input'])}"
    message = re.sub(r"^\w+ should", "must", details["msg"])
    return f"{where}: {message}, but got {_shown(details['input'])}"


def _cut(line: str) -> str:
    """What was found may be long; what is allowed is said at the end."""
    return line if len(line) <= _MOST else f"{line[: _MOST // 2]} … {line[-_MOST // 2 :]}"


def _nearest_key(model: type[BaseModel], place: Sequence[int | str], also: Collection[str]) -> str:
    known = list(_section_at(model, place[:-1]).model_fields)
    if len(place) == 1:
        known += also
    if difflib.get_close_matches(str(place[-1]), known, n=1):
        return nearest(str(place[-1]), known)
    # Not here, so perhaps it was put into the wrong section.
    places = {path.rpartition(".")[2]: path for path in _paths(model)}
    near = difflib.get_close_matches(str(place[-1]), list(places), n=1)
    elsewhere = f"; nearest is '{places[near[0]]}'" if near else ""
    return f"{elsewhere}; allowed are {', '.join(known) or 'none'}"


def _dotted(place: Sequence[int | str]) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _shown(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else repr(value)


def _section_at(model: type[BaseModel], place: Sequence[int | str]) -> type[BaseModel]:
    for part in place:
        if part in model.model_fields:
            model = _section_in(model.model_fields[str(part)].annotation) or model
    return model


def _paths(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        if (section := _section_in(field.annotation)) is not None:
            yield from (f"{name}.{path}" for path in _paths(section))


def _section_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_section_in(argument) for argument in get_args(annotation))
    return next((section for section in found if section is not None), None)
