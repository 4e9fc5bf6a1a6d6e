"""A job: what a device is asked to measure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

Kind = Literal["latency", "load", "memory", "energy"]

MODEL, REFERENCE, INPUTS = "model", "reference", "inputs"
"""Roles of files: the candidate and the fp32 model (ONNX); the inputs (`arrays.save_arrays`)."""

EXPECTED, REFERENCE_EXPECTED = "expected", "reference_expected"
"""Roles of files: the outputs that the candidate and the reference must give (`save_arrays`)."""


_MOST_SECONDS = 1e6


@dataclass(frozen=True)
class Setup:
    """How a device runs models. Jobs of equal setups may share a process.

    Attributes:
        runtime: entry point's name.
        options: of the runtime; JSON values.
        threads: that a run may use.
        cpus: that the process is pinned to; None takes the last `threads` of those it may use.
    """

    runtime: str = "onnxruntime"
    options: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 1
    cpus: tuple[int, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(data: Any) -> "Setup":
        """Read what `to_dict` wrote; JSON's lists become tuples again.

        Raises:
            ValueError: it is something else.
        """
        given = _mapping("setup", data, ("runtime", "options", "threads", "cpus"))
        runtime, threads, cpus = given["runtime"], given["threads"], given["cpus"]
        _check("runtime", runtime, isinstance(runtime, str))
        _check("threads", threads, _is_whole(threads, at_least=1))
        if cpus is not None:
            _check("cpus", cpus, isinstance(cpus, list | tuple) and bool(cpus))
            _check("cpus", cpus, all(_is_whole(cpu, at_least=0) for cpu in cpus))
            cpus = tuple(cpus)
        return Setup(runtime, _mapping("options", given["options"]), threads, cpus)


@dataclass(frozen=True)
class Limits:
    """What a job may use at most; enforced from outside.

    Attributes:
        seconds: of wall time, loading included.
        memory: bytes that the measuring process may allocate; None for no limit.
    """

    seconds: float
    memory: int | None = None


@dataclass(frozen=True)
class Job:
    """One measurement.

    Attributes:
        kind: which; its results are described where it is defined, in `measuring/kinds/`.
        setup: how models are run.
        files: role to path on the device, or to SHA-256 (hex) on the way there.
        options: of the kind; JSON values.
        limits: for the whole job.
    """

    kind: Kind
    setup: Setup
    files: Mapping[str, str]
    options: Mapping[str, Any]
    limits: Limits

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(data: Any) -> "Job":
        """Read what `to_dict` wrote; whatever `data` is, the result holds what its types say.

        Raises:
            ValueError: it is something else.
        """
        given = _mapping("job", data, ("kind", "setup", "files", "options", "limits"))
        kind, files = given["kind"], _mapping("files", given["files"])
        _check("kind", kind, kind in get_args(Kind))
        _check("files", files, all(isinstance(path, str) for path in files.values()))
        limits = _mapping("limits", given["limits"], ("seconds", "memory"))
        seconds, memory = limits["seconds"], limits["memory"]
        _check("seconds", seconds, _is_time(seconds))
        _check("memory", memory, memory is None or _is_whole(memory, at_least=1))
        options = _mapping("options", given["options"])
        return Job(kind, Setup.from_dict(given["setup"]), files, options, Limits(seconds, memory))


def _mapping(what: str, value: Any, keys: tuple[str, ...] | None = None) -> dict[str, Any]:
    _check(what, value, isinstance(value, Mapping) and all(isinstance(key, str) for key in value))
    _check(what, value, keys is None or set(value) == set(keys))
    return dict(value)


def _is_whole(value: Any, *, at_least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= at_least


def _is_time(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value <= _MOST_SECONDS


def _check(what: str, value: Any, fits: bool) -> None:
    if not fits:
        raise ValueError(f"no job: '{what}' is {value!r}")
