"""What a client asks to run: read, checked, and cut down to what this device gives."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from paretune.evaluators.devices.agent.files import is_hash
from paretune.evaluators.measuring.job import (
    EXPECTED,
    INPUTS,
    MODEL,
    REFERENCE,
    REFERENCE_EXPECTED,
    Job,
    Limits,
    Setup,
)
from paretune.names import nearest

_ID = re.compile("[0-9a-f]{32}")
_ROLES = (MODEL, REFERENCE, INPUTS, EXPECTED, REFERENCE_EXPECTED)
_NEEDED = (MODEL, INPUTS)
_DEEPEST = 16
_SYSFS = "/sys"


@dataclass(frozen=True)
class Allowance:
    """What jobs may have here.

    Attributes:
        runtimes: names of those that are installed.
        cpus: that a job may be pinned to.
        seconds: of a job; one that asks for more gets so much.
        memory: bytes of a job's process; likewise.
        sysfs: where energy meters are looked for.
    """

    runtimes: Sequence[str]
    cpus: Sequence[int]
    seconds: float
    memory: int
    sysfs: str = _SYSFS


def is_job_id(text: str) -> bool:
    """Whether it is 32 lower-case hex digits."""
    return _ID.fullmatch(text) is not None


def read_request(body: bytes, allowance: Allowance) -> tuple[str, Job]:
    """Read the body of a request to run a job.

    Returns:
        the job's id, and the job with hashes as its files.

    Raises:
        ValueError: it is something else, or wants what it may not have; the message is for the
            client.
    """
    try:
        data = json.loads(body)
        # No NaN, no infinity, no half of a surrogate pair.
        json.dumps(data, allow_nan=False, ensure_ascii=False).encode()
        deep = _depth(data) > _DEEPEST
    except ValueError:
        raise ValueError("the body is no JSON") from None
    except RecursionError:
        deep = True
    if deep:
        raise ValueError(f"the body is nested more than {_DEEPEST} levels deep")
    if not isinstance(data, dict) or set(data) != {"id", "job"}:
        raise ValueError('the body must be {"id": …, "job": …}')
    job_id = data["id"]
    if not isinstance(job_id, str) or not is_job_id(job_id):
        raise ValueError(f"'id' must be 32 lower-case hex digits, but got {job_id!r}")
    job = Job.from_dict(data["job"])
    _check_files(job)
    _check_setup(job.setup, allowance)
    _check_no_paths(job.setup.options)
    limits = Limits(
        min(job.limits.seconds, allowance.seconds),
        min(job.limits.memory or allowance.memory, allowance.memory),
    )
    return job_id, replace(job, options=_options(job, allowance), limits=limits)


def _check_files(job: Job) -> None:
    for role, digest in job.files.items():
        if role not in _ROLES:
            raise ValueError(f"'files': unknown role {role!r}{nearest(role, _ROLES)}")
        if not is_hash(digest):
            raise ValueError(f"'files.{role}' must be a SHA-256 in hex digits, but got {digest!r}")
    for role in _NEEDED:
        if role not in job.files:
            raise ValueError(f"'files': there is no '{role}'")


def _check_setup(setup: Setup, allowance: Allowance) -> None:
    if setup.runtime not in allowance.runtimes:
        raise ValueError(
            f"'setup.runtime': {setup.runtime!r} is not installed here"
            f"{nearest(setup.runtime, allowance.runtimes)}"
        )
    for cpu in setup.cpus or ():
        if cpu not in allowance.cpus:
            allowed = ", ".join(map(str, allowance.cpus))
            raise ValueError(f"'setup.cpus': there is no CPU {cpu}; allowed are {allowed}")
    most = len(set(setup.cpus or allowance.cpus))
    if setup.threads > most:
        raise ValueError(f"'setup.threads' must be from 1 to {most}, but got {setup.threads}")


def _check_no_paths(options: Mapping[str, Any]) -> None:
    """Runtimes have options that name files to write or libraries to load."""
    for text in _texts(options):
        if set(text) & {"/", "\\", "\0"} or text in ("..", "~"):
            raise ValueError(
                f"'setup.options': {text!r} looks like a path, and a device takes none from its"
                " clients"
            )


def _options(job: Job, allowance: Allowance) -> Mapping[str, Any]:
    """With the meters' folder that is right here."""
    if job.kind != "energy":
        return job.options
    root = job.options.get("root", _SYSFS)
    if root not in (_SYSFS, allowance.sysfs):
        raise ValueError(
            f"'options.root' must be '{allowance.sysfs}' here, but got {root!r}; the agent's"
            " --sysfs sets it"
        )
    return {**job.options, "root": allowance.sysfs}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _depth(value: Any) -> int:
    items = value.values() if isinstance(value, dict) else value
    nested = isinstance(value, dict | list)
    return 1 + max(map(_depth, items), default=0) if nested else 0
