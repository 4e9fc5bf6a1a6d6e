"""What the driver and the latency worker say to each other: one JSON object a line."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from paretune.evaluators.latency.sampling import Pairs


@dataclass(frozen=True)
class Start:
    """The first line to the worker.

    Attributes:
        reference: path of the fp32 model.
        inputs: path of an `.npz` with `arr_0`, `arr_1`, ... in the order of `names`.
        names: of the inputs.
        threads: intra-op.
        target: relative half width of the ratio's interval at which sampling stops.
        max_seconds: of sampling a model.
    """

    reference: str
    inputs: str
    names: tuple[str, ...]
    threads: int
    target: float
    max_seconds: float


@dataclass(frozen=True)
class Request:
    """Every further line to the worker: the path of a model to measure."""

    model: str


@dataclass(frozen=True)
class Ready:
    """The worker's answer to `Start`.

    Attributes:
        runtime: version of ONNX Runtime.
        provider: execution provider.
    """

    runtime: str
    provider: str


@dataclass(frozen=True)
class Failed:
    """The worker's answer when ONNX Runtime refuses a model; the worker lives on."""

    error: str


Message = Start | Request | Ready | Pairs | Failed
_KINDS: dict[str, Callable[..., Message]] = {
    kind.__name__: kind for kind in (Start, Request, Ready, Pairs, Failed)
}


def encode(message: Message) -> str:
    """One line, with its line end."""
    return json.dumps({"kind": type(message).__name__, **asdict(message)}) + "\n"


def decode(line: str) -> Message:
    """Read a line that `encode` wrote.

    Raises:
        ValueError: it is something else.
    """
    try:
        fields = json.loads(line)
        kind = _KINDS[fields.pop("kind")]
        # JSON has no tuples.
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"no message of the latency worker: {line!r}") from error
