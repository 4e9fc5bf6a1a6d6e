"""Sparsities: what of one layer is removed, and in what pattern."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from paretune.errors import UserError
from paretune.names import hint
from paretune.spaces.precision import strangers


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
class Block:
    """A share `amount` of the blocks of weights that meet neighbouring inputs is zero."""

    amount: float

    def __str__(self) -> str:
        return f"block:{self.amount:g}"


@dataclass(frozen=True, order=True)
class LowRank:
    """Two factors of lower rank take the layer's place; a share `amount` of its work is saved."""

    amount: float

    def __str__(self) -> str:
        return f"rank:{self.amount:g}"


@dataclass(frozen=True, order=True)
class Channel:
    """A share `amount` (0 < amount < 1) of the output channels is physically removed."""

    amount: float

    def __str__(self) -> str:
        return f"channel:{self.amount:g}"


@dataclass(frozen=True, order=True)
class Drop:
    """The layer goes, with all of its residual block."""

    def __str__(self) -> str:
        return "drop"


@dataclass(frozen=True, order=True)
class Pattern:
    """A pattern of another package, by the name of its entry point in `paretune.techniques`."""

    name: str
    amount: float

    def __str__(self) -> str:
        return f"{self.name}:{self.amount:g}"


Sparsity = Dense | Unstructured | NM | Block | LowRank | Channel | Drop | Pattern

_WITH_AMOUNT: dict[str, Callable[[float], Sparsity]] = {
    "unstructured": Unstructured,
    "block": Block,
    "rank": LowRank,
    "channel": Channel,
}
_ALLOWED = (
    "'dense', 'unstructured:0.5', '2:4' (n:m), 'block:0.5', 'rank:0.5', 'channel:0.25', 'drop'"
)


def parse_sparsity(text: str) -> Sparsity:
    """Read the spelling that `str(sparsity)` writes; an amount of 0 is `Dense()`.

    Raises:
        UserError: the text is none of the spellings, or an amount is outside [0, 1).
    """
    text = text.strip()
    if text == "dense":
        return Dense()
    if text == "drop":
        return Drop()
    if match := re.fullmatch(r"(\d{1,9}):(\d{1,9})", text):
        n, m = int(match[1]), int(match[2])
        if not 0 < n <= m:
            raise UserError(f"sparsity '{text}': 0 < n <= m must hold, but got n={n}, m={m}")
        return Dense() if n == m else NM(n, m)
    if match := re.fullmatch(r"([a-z][a-z0-9-]*):([0-9.eE+-]+)", text):
        name = match[1]
        if name not in _WITH_AMOUNT and name not in strangers():
            raise UserError(
                f"unknown sparsity '{text}'{hint(name, [*_WITH_AMOUNT, *strangers()])};"
                f" allowed are spellings like {_ALLOWED}"
            )
        amount = _amount(text, match[2])
        if amount == 0:
            return Dense()
        return _WITH_AMOUNT[name](amount) if name in _WITH_AMOUNT else Pattern(name, amount)
    raise UserError(f"unknown sparsity '{text}'; allowed are spellings like {_ALLOWED}")


def _amount(text: str, number: str) -> float:
    try:
        # The text of an amount is what is stored, so it is what must be equal.
        amount = float(f"{float(number):g}")
    except ValueError:
        amount = -1.0
    if not 0 <= amount < 1:
        raise UserError(f"sparsity '{text}': 0 <= amount < 1 must hold, but got {number}")
    return amount
