"""Durations as people write them: `8h`, `90m`, `45s`, `1h30m`."""

import re

from paretune.errors import UserError

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
LONGEST = 1e9
"""Seconds, 31 years: what clocks and timers of the system can still take."""

_PATTERN = "".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in _UNITS)


def parse_duration(text: str) -> float:
    """Seconds of days, hours, minutes and seconds in this order; above 0, at most `LONGEST`.

    Raises:
        UserError: the text is something else.
    """
    compact = re.sub(r"\s+", "", text.lower())
    match = re.fullmatch(_PATTERN, compact)
    parts = match.groups() if match else ()
    seconds = sum(
        float(part or 0) * size for part, size in zip(parts, _UNITS.values(), strict=False)
    )
    if not 0 < seconds <= LONGEST:
        raise UserError(f"cannot read the time '{text}'; allowed are spellings like 8h, 90m, 1h30m")
    return seconds


def format_duration(seconds: float) -> str:
    """Two units at most: `7h 59m`, `3m 20s`, `12s`."""
    total = max(0, round(seconds))
    for (big, big_size), (small, small_size) in (
        (("d", 86400), ("h", 3600)),
        (("h", 3600), ("m", 60)),
        (("m", 60), ("s", 1)),
    ):
        if total >= big_size:
            rest = total % big_size // small_size
            return (
                f"{total // big_size}{big} {rest}{small}" if rest else f"{total // big_size}{big}"
            )
    return f"{total}s"
