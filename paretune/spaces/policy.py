"""A policy: a choice for every layer of a model."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from paretune.errors import UserError
from paretune.spaces.choice import Choice
from paretune.versions import require_version

VERSION = 1


@dataclass(frozen=True)
class Policy:
    """A choice for every layer, in the order of the graph. Equal policies have equal JSON.

    Build one with `Policy.of`; `Space.canonical` makes two spellings of the same model one policy.
    """

    items: tuple[tuple[str, Choice], ...]

    @staticmethod
    def of(choices: Mapping[str, Choice]) -> "Policy":
        return Policy(tuple(choices.items()))

    def __iter__(self) -> Iterator[tuple[str, Choice]]:
        return iter(self.items)

    def __getitem__(self, layer: str) -> Choice:
        return self._by_layer[layer]

    def __str__(self) -> str:
        return ", ".join(f"{layer}={choice}" for layer, choice in self.items)

    @cached_property
    def _by_layer(self) -> dict[str, Choice]:
        return dict(self.items)

    @cached_property
    def key(self) -> str:
        """16 hexadecimal digits that identify the policy."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        layers = {layer: str(choice) for layer, choice in self.items}
        return json.dumps(
            {"_type": "paretune.policy", "_version": VERSION, "layers": layers},
            separators=(",", ":"),
        )

    @staticmethod
    def from_json(text: str) -> "Policy":
        """Read what `to_json` wrote.

        Raises:
            UserError: not JSON, not a policy, of another version, or with an unknown choice.
        """
        try:
            data = json.loads(text)
        # Also numbers of thousands of digits, and what is nested as deep.
        except (ValueError, TypeError, RecursionError) as error:
            raise UserError(f"policy is not JSON: {error}") from None
        if not isinstance(data, dict) or data.get("_type") != "paretune.policy":
            raise UserError("not a policy: '_type' must be 'paretune.policy'")
        require_version("policy", data.get("_version"), VERSION)
        layers = data.get("layers")
        if not isinstance(layers, dict) or not set(map(type, layers.values())) <= {str}:
            raise UserError("policy: 'layers' must map layer names to choices such as 'int8'")
        return Policy(tuple(map(_item, layers.keys(), layers.values())))


@lru_cache(maxsize=1 << 16)
def _item(layer: str, choice: str) -> tuple[str, Choice]:
    """A study has thousands of policies made of few such pairs, which they share."""
    return layer, Choice.parse(choice)
