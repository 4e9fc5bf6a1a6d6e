"""Checking a user's options against their pydantic model, with messages for people."""

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from paretune.errors import UserError

ModelT = TypeVar("ModelT", bound=BaseModel)


def parse_options(model: type[ModelT], given: Mapping[str, Any], where: str) -> ModelT:
    """Build the options from what the config says.

    Args:
        model: the options' class.
        given: keys and values.
        where: names the place in the config, for the messages.

    Raises:
        UserError: an unknown key (with the nearest known one), or a value that is not
            allowed. Every mistake is named.
    """
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        known = list(model.model_fields)
        lines = [_message(dict(detail), known) for detail in error.errors()]
        raise UserError(f"{where}: {'; '.join(lines)}") from None


def _message(detail: Mapping[str, Any], known: list[str]) -> str:
    location = detail["loc"]
    key = ".".join(str(part) for part in location)
    if detail["type"] == "extra_forbidden":
        if len(location) > 1:
            return f"unknown key '{key}'"
        near = difflib.get_close_matches(key, known, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        return f"unknown key '{key}'{hint}; allowed are {', '.join(known) or 'none'}"
    if detail["type"] == "missing":
        return f"'{key}' is missing"
    text = detail["msg"].removeprefix("Value error, ")
    return f"'{key}' is {detail['input']!r}, but: {text[:1].lower()}{text[1:]}"
