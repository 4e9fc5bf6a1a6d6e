"""Techniques: number formats and patterns of zeros, found by entry point."""

from collections.abc import Mapping
from functools import cache
from typing import cast

from paretune.errors import UserError
from paretune.plugins import load_plugin, load_plugins
from paretune.search.backends.onnx.techniques.technique import (
    Format,
    Place,
    Source,
    Stored,
    View,
    Zeros,
    tensor,
)
from paretune.spaces import NM, ONNXRUNTIME_CPU, TECHNIQUES, Capabilities, Precision, Sparsity

__all__ = [
    "Format",
    "Place",
    "Source",
    "Stored",
    "View",
    "Zeros",
    "capabilities",
    "format_of",
    "formats",
    "tensor",
    "zeros_of",
]


def format_of(precision: Precision) -> Format:
    """The format that a precision names.

    Raises:
        UserError: it is a pattern, or its package does not import.
    """
    found = _load(str(precision))
    if not hasattr(found, "grid"):
        raise UserError(f"'{precision}' is a sparsity ('{precision}:0.5'), no precision")
    return cast(Format, found)


def zeros_of(sparsity: Sparsity) -> Zeros:
    """The pattern of zeros that a sparsity names.

    Raises:
        UserError: it is a format, or its package does not import.
    """
    name = "n-m" if isinstance(sparsity, NM) else str(sparsity).partition(":")[0]
    found = _load(name)
    if not hasattr(found, "pattern"):
        raise UserError(f"'{name}' is a precision, no sparsity")
    return cast(Zeros, found)


@cache
def formats() -> Mapping[Precision, Format]:
    """All installed ones."""
    found = {name: one() for name, one in load_plugins(TECHNIQUES).items()}
    return {Precision(name): cast(Format, x) for name, x in found.items() if hasattr(x, "grid")}


@cache
def capabilities() -> Capabilities:
    """ONNX Runtime's CPU provider, with the formats of other packages."""
    table = {
        (precision, op_type): support
        for precision, one in formats().items()
        for op_type, support in one.supports.items()
    }
    known = ONNXRUNTIME_CPU
    return Capabilities(known.runtime, table, known.sparsities, known.channel_grain)


@cache
def _load(name: str) -> object:
    return load_plugin(TECHNIQUES, name)()
