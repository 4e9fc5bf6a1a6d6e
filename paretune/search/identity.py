"""What makes two studies the same: the model, the data, the space and what is measured."""

import hashlib
from collections.abc import Iterable

from paretune.evaluators import Metric
from paretune.search.backends import Prepared
from paretune.search.config import Config
from paretune.spaces import Space


def identity(
    config: Config, prepared: Prepared, data: str, space: Space, objectives: Iterable[Metric]
) -> dict[str, str]:
    """Each part as a short text or hash, so that a difference can be named.

    Args:
        data: hash of the splits.
    """
    amounts = sorted({amount for offered in space.channels.values() for amount in offered})
    return {
        "model": prepared.reference.sha256[:16],
        "preparation": prepared.fingerprint[:16],
        "data": data[:16],
        "layers": f"{len(space.layers)} #{_digest(layer.name for layer in space.layers)}",
        "precisions": _offered(space.precisions.values(), space.precisions.items()),
        "sparsities": _offered(space.sparsities.values(), space.sparsities.items()),
        "channels": (
            f"{', '.join(f'{amount:g}' for amount in amounts) or 'none'}"
            f" #{_digest(map(str, space.channels.items()))}"
        ),
        "grain": str(space.grain),
        "objectives": ", ".join(f"{m.direction} {m.name}" for m in objectives),
        "metrics": ", ".join(config.wanted),
        "constraints": ", ".join(map(str, config.constraints)) or "none",
        "evaluators": " ".join(map(str, config.evaluators)) or "defaults",
    }


def _offered(options: Iterable[Iterable[object]], by_layer: Iterable[object]) -> str:
    names = dict.fromkeys(str(option) for offered in options for option in offered)
    return f"{', '.join(names)} #{_digest(map(str, by_layer))}"


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
