"""A capability profile: what one device, measured, does with each choice."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from paretune.errors import UserError
from paretune.spaces import Capabilities, Support

VERSION = 1


@dataclass(frozen=True)
class Row:
    """What one choice did to one probe.

    Attributes:
        probe: the probe's name.
        op_type: of its layers.
        choice: a precision or a sparsity, or `N channels`.
        ratio, low, high: latency relative to the same probe untouched, with its 95% interval;
            None where the device refused it.
        refused: why, else empty.
    """

    probe: str
    op_type: str
    choice: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    refused: str = ""


@dataclass(frozen=True)
class Profile:
    """What was measured, and what follows from it.

    Attributes:
        capabilities: for building spaces.
        rows: all measurements.
        conditions: that they were taken under.
    """

    capabilities: Capabilities
    rows: Sequence[Row] = ()
    conditions: dict[str, Any] = field(default_factory=dict)

    def by_support(self) -> dict[Support, list[str]]:
        """How the device supports a choice, to texts such as `int8 on Conv, Gemm`."""
        found: dict[Support, dict[str, list[str]]] = {support: {} for support in Support}
        for (precision, op_type), support in self.capabilities.precisions.items():
            found[support].setdefault(str(precision), []).append(op_type)
        return {
            support: [f"{choice} on {', '.join(ops)}" for choice, ops in choices.items()]
            for support, choices in found.items()
        }

    def to_json(self) -> str:
        data = {
            "version": VERSION,
            "capabilities": self.capabilities.to_dict(),
            "conditions": self.conditions,
            "rows": [asdict(row) for row in self.rows],
        }
        return json.dumps(data, indent=2) + "\n"


def read_profile(path: Path) -> Profile:
    """Read a file that `paretune device profile` wrote.

    Raises:
        UserError: missing, or something else.
    """
    try:
        data = json.loads(path.read_text())
        if data["version"] != VERSION:
            raise ValueError(f"its version is {data['version']!r}, but {VERSION} is known")
        return Profile(
            Capabilities.from_dict(data["capabilities"]),
            [Row(**row) for row in data["rows"]],
            dict(data["conditions"]),
        )
    except OSError as error:
        raise UserError(f"the profile '{path}' cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"'{path}' is no profile ({error}); make one with: paretune device profile"
        ) from error
