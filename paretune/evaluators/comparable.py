"""Whether two values of a metric may be compared: only if they were taken alike."""

import json
from typing import Any

from paretune.evaluators.measurement import Measurement

_COUNTS = frozenset({"blocks", "runs_per_block"})
"""Studies of earlier versions noted among the conditions how much was sampled."""


def difference(before: Measurement, now: Measurement) -> str:
    """What differs in the conditions, such as `threads was 1, is now 2`; empty if nothing does.

    A condition that only one of them tells is a difference: what is not known is not equal.
    """
    if before.conditions == now.conditions:
        return ""
    old, new = _plain(before), _plain(now)
    return ", ".join(
        f"{key} was {_shown(old, key)}, is now {_shown(new, key)}"
        for key in dict.fromkeys((*old, *new))
        if key not in old or key not in new or old[key] != new[key]
    )


def _plain(measurement: Measurement) -> dict[str, Any]:
    """The conditions as they are read back from a file."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(measurement.conditions)))
    return {key: value for key, value in plain.items() if key not in _COUNTS}


def _shown(conditions: dict[str, Any], key: str) -> str:
    return str(conditions[key]) if key in conditions else "not told"
