"""Precisions: how the numbers of one layer are represented."""

from functools import cache
from typing import ClassVar

from paretune.errors import UserError
from paretune.names import nearest
from paretune.plugins import find_plugins

TECHNIQUES = "paretune.techniques"
"""Entry-point group of techniques. A name there is a spelling: of a precision, or of a sparsity
where an amount follows it."""


class Precision(str):
    """How one layer's weights, and where it says so its activations, are represented.

    It is its own spelling in configs, policies and tables. Those named here come with Paretune;
    other packages add theirs (see `paretune.search.backends.onnx.techniques`).
    """

    __slots__ = ()

    FP32: ClassVar["Precision"]
    """IEEE single precision, as exported."""

    FP16: ClassVar["Precision"]
    """Weights stored as IEEE half precision and widened once, when the model is loaded."""

    INT8: ClassVar["Precision"]
    """Static 8-bit: per-channel symmetric weights, per-tensor calibrated activations."""

    INT8_DYNAMIC: ClassVar["Precision"]
    """8-bit weights; the activation range is taken from each input at run time."""

    W8: ClassVar["Precision"]
    """Weight-only, block-wise 8-bit; activations stay float."""

    W4: ClassVar["Precision"]
    """Weight-only, block-wise 4-bit; activations stay float."""

    USUAL: ClassVar[tuple["Precision", ...]]
    """What a search offers unless it is told otherwise."""

    OTHERS: ClassVar[tuple["Precision", ...]]
    """Smaller ones, decoded once, when the model is loaded: weight-only 3 and 2 bits in blocks,
    {-s, 0, s} and {-s, s}, and palettes: tables of 2^2 to 2^8 shared values."""


_NAMES = ("fp32", "fp16", "int8", "int8-dynamic", "w8", "w4")
Precision.USUAL = tuple(map(Precision, _NAMES))
(
    Precision.FP32,
    Precision.FP16,
    Precision.INT8,
    Precision.INT8_DYNAMIC,
    Precision.W8,
    Precision.W4,
) = Precision.USUAL
Precision.OTHERS = tuple(
    map(Precision, ("w3", "w2", "ternary", "binary", *(f"palette{bits}" for bits in range(2, 9))))
)
_PATTERNS = frozenset({"unstructured", "n-m", "block"})
_KNOWN = {str(p): p for p in (*Precision.USUAL, *Precision.OTHERS)}


def parse_precision(text: str) -> Precision:
    """Read a precision.

    Raises:
        UserError: `text` is neither one that Paretune has, nor the name of an installed technique.
    """
    name = text.strip()
    if name in _KNOWN:
        return _KNOWN[name]
    others = strangers()
    if name in others:
        return Precision(name)
    raise UserError(f"unknown precision '{text}'{nearest(name, [*_KNOWN, *sorted(others)])}")


@cache
def strangers() -> frozenset[str]:
    """Names of the techniques of other packages; which are formats shows when they are loaded.

    Raises:
        UserError: two packages use the same name.
    """
    return frozenset(find_plugins(TECHNIQUES)) - _KNOWN.keys() - _PATTERNS
