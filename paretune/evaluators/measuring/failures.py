"""How the errors of a job travel from the device: as JSON, each under a short kind."""

from collections.abc import Mapping
from typing import Any

from paretune.errors import (
    CandidateError,
    Infeasible,
    InferenceError,
    MachineError,
    ParetuneError,
    TransientError,
    UserError,
)

_KINDS: dict[str, type[ParetuneError]] = {
    # Each before its base class.
    "inference": InferenceError,
    "candidate": CandidateError,
    "infeasible": Infeasible,
    "transient": TransientError,
    "machine": MachineError,
    "user": UserError,
}


def describe_failure(error: ParetuneError) -> dict[str, str]:
    """`{"kind": …, "message": …}`; the kinds are those of `measuring.failures`."""
    kind = next(name for name, kind in _KINDS.items() if isinstance(error, kind))
    return {"kind": kind, "message": str(error)}


def failure(data: Mapping[str, Any]) -> ParetuneError:
    """The error that `describe_failure` described.

    Raises:
        ValueError: it is something else.
    """
    try:
        return _KINDS[data["kind"]](str(data["message"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no failure: {data!r}") from error
