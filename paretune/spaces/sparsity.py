"""Sparsities: which weights of one layer are removed, and in what pattern."""

import re
from dataclasses import dataclass

from paretune.errors import UserError


@dataclass(frozen=True, order=True)
class Dense:
    """Every weight is kept."""

    def __str__(self) -> str:
        return "dense"


@dataclass(frozen=True, order=True)
class Unstructured:
    """A share `amount` (0 < amount < 1) of the layer's weights is zero, where it hurts least."""

    amount: float

    def __str__(self) -> str:
        return f"unstructured:{self.amount:g}"


@dataclass(frozen=True, order=True)
class NM:
    """At most `n` of every `m` consecutive weights along the input dimension are non-zero."""

    n: int
    m: int

    def __str__(self) -> str:
        return f"{self.n}:{self.m}"


@dataclass(frozen=True, order=True)
class Channel:
    """A share `amount` (0 < amount < 1) of the output channels is physically removed."""

    amount: float

    def __str__(self) -> str:
        return f"channel:{self.amount:g}"


Sparsity = Dense | Unstructured | NM | Channel

_ALLOWED = "'dense', 'unstructured:0.5', '2:4' (n:m), 'channel:0.25'"


def parse_sparsity(text: str) -> Sparsity:
    """Read the spelling that `str(sparsity)` writes; an amount of 0 is `Dense()`.

    Raises:
        UserError: the text is none of the spellings, or an amount is outside [0, 1).
    """
    text = text.strip()
    if text == "dense":
        return Dense()
    if match := re.fullmatch(r"(\d+):(\d+)", text):
        n, m = int(match[1]), int(match[2])
        if not 0 < n <= m:
            raise UserError(f"sparsity '{text}': 0 < n <= m must hold, but got n={n}, m={m}")
        return Dense() if n == m else NM(n, m)
    if match := re.fullmatch(r"(unstructured|channel):([0-9.eE+-]+)", text):
        try:
            amount = float(match[2])
        except ValueError:
            amount = -1.0
        if not 0 <= amount < 1:
            raise UserError(f"sparsity '{text}': 0 <= amount < 1 must hold, but got {match[2]}")
        if amount == 0:
            return Dense()
        return Unstructured(amount) if match[1] == "unstructured" else Channel(amount)
    raise UserError(f"unknown sparsity '{text}'; allowed are spellings like {_ALLOWED}")
