"""Rules that narrow the choices of some layers: an ordered mapping of names or `re:` patterns."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from paretune.errors import UserError
from paretune.spaces.precision import Precision
from paretune.spaces.sparsity import Sparsity


@dataclass(frozen=True)
class LayerRule:
    """What the layers that a pattern matches may take.

    Attributes:
        pattern: a layer's name, or `re:` and a regular expression that is searched in the name.
        precision: the precisions to offer, or None to leave them.
        sparsity: the sparsities to offer, or None to leave them.
    """

    pattern: str
    precision: tuple[Precision, ...] | None = None
    sparsity: tuple[Sparsity, ...] | None = None

    def matches(self, name: str) -> bool:
        if self.pattern.startswith("re:"):
            return re.search(self.pattern[3:], name) is not None
        return self.pattern == name


def check_rules(rules: Sequence[LayerRule], names: Iterable[str]) -> None:
    """Refuse rules that match nothing: most likely a typing mistake.

    Raises:
        UserError: a pattern is no regular expression, or matches none of `names`.
    """
    known = list(names)
    for rule in rules:
        try:
            matched = any(rule.matches(name) for name in known)
        except re.error as error:
            raise UserError(f"space.layers: '{rule.pattern}' is no pattern: {error}") from None
        if not matched:
            near = difflib.get_close_matches(rule.pattern.removeprefix("re:"), known, n=3, cutoff=0)
            raise UserError(
                f"space.layers: '{rule.pattern}' matches no layer; nearest are {', '.join(near)}"
                " (`paretune space CONFIG` lists all)"
            )
