"""Raw samples as a short text.

A text is `EXPONENT:DATA`: the samples are whole multiples of 10^EXPONENT seconds, a ten-thousandth
of the smallest one or finer. DATA is Base64 of the first multiple and the differences from each to
the next, as integers of 7 bits a byte (the low ones first, sign in the lowest bit).
"""

import base64
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from math import floor, log10

DIGITS = 5


def encode(seconds: Sequence[float]) -> str:
    """Samples as text, rounded to five digits of the smallest; empty for none.

    Args:
        seconds: positive.
    """
    if not seconds:
        return ""
    exponent = floor(log10(min(seconds))) - (DIGITS - 1)
    whole = [round(x / 10.0**exponent) for x in seconds]
    steps = [b - a for a, b in zip([0, *whole], whole, strict=False)]
    return f"{exponent}:{base64.b64encode(bytes(_pack(steps))).decode()}"


def decode(text: str) -> tuple[float, ...]:
    """Read what `encode` wrote.

    Raises:
        ValueError: it is something else.
    """
    if not text:
        return ()
    exponent, colon, data = text.partition(":")
    if not colon:
        raise ValueError(f"no samples: {text[:40]!r}")
    # Division by a whole number is exact to the last digit, unlike multiplication by 1e-8.
    power = -int(exponent)
    whole = accumulate(_unpack(base64.b64decode(data, validate=True)))
    return tuple(x / 10**power if power >= 0 else float(x * 10**-power) for x in whole)


def _pack(values: Iterable[int]) -> Iterator[int]:
    for value in values:
        rest = value << 1 if value >= 0 else (-value << 1) - 1
        while rest > 0x7F:
            yield rest & 0x7F | 0x80
            rest >>= 7
        yield rest


def _unpack(data: bytes) -> Iterator[int]:
    value, shift = 0, 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield -(value + 1 >> 1) if value & 1 else value >> 1
            value, shift = 0, 0
    if shift:
        raise ValueError("samples are cut off")
