"""Numbers of bytes as people write them: `4GiB`, `500 MB`, `1024`."""

import re

from paretune.errors import UserError

_UNITS = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
LARGEST = 1 << 60
"""Bytes, 1 EiB: the system takes no limits of 2^63 and more."""

_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


def parse_size(text: str) -> int:
    """Bytes of a number and a unit: kB, MB, GB, TB or KiB, MiB, GiB, TiB; at most `LARGEST`.

    Raises:
        UserError: the text is something else.
    """
    match = _PATTERN.fullmatch(text.strip().lower())
    unit = _UNITS.get(match[2]) if match else None
    size = float(match[1]) * unit if match and unit else 0
    if not 1 <= size <= LARGEST:
        raise UserError(f"cannot read the size '{text}'; allowed are spellings like 4GiB, 500MB")
    return int(size)
