"""YAML as people expect it: `2:4` is text, `1e-3` is a number, a key given twice is an error."""

import re
from pathlib import Path
from typing import Any

import yaml

from paretune.errors import UserError

_MOST_VALUES = 100_000
_DEEPEST = 50
_TOO_DEEP = f"its values are nested more than {_DEEPEST} times, or hold themselves"


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads `2:4` as the number 124 (base 60), `1e3` as text and `2000-13-32` as a wrong
    date; YAML 1.2 does not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise UserError(f"the key '{key.value}' is given twice (line {line})")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_NUMBERS = {
    "tag:yaml.org,2002:int": r"[-+]?[0-9][0-9_]*",
    "tag:yaml.org,2002:float": (
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    ),
}
_DATE = "tag:yaml.org,2002:timestamp"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (*_NUMBERS, _DATE)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern in _NUMBERS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), list("-+.0123456789"))


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises:
        UserError: no such file, not readable, not YAML, or not a mapping of texts to values.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"no config file '{path}'") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the config file '{path}': {error}") from None
    try:
        # `_Loader` is a SafeLoader: it makes plain values only.
        data = yaml.load(text, Loader=_Loader)
        _require_small(data)
    except RecursionError:
        raise UserError(f"{path}: {_TOO_DEEP}") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    # Not all that it raises is its own: `!!int x`, `!!bool x`, `!!timestamp x`.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        kind = "nothing" if data is None else f"a {type(data).__name__}"
        raise UserError(f"{path}: a config is a mapping of keys to values, but got {kind}")
    return data


def _require_small(data: Any) -> None:
    """With anchors, a few lines can stand for billions of values, or hold themselves."""
    pending, count = [(data, 0)], 0
    while pending:
        value, depth = pending.pop()
        parts = list(value.values()) if isinstance(value, dict) else value
        count += 1
        if count > _MOST_VALUES:
            raise UserError(f"it holds more than {_MOST_VALUES:,} values")
        if depth > _DEEPEST:
            raise UserError(_TOO_DEEP)
        if isinstance(parts, list | tuple):
            pending += [(part, depth + 1) for part in parts]
