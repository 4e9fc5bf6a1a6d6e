"""Preparing a model in a process of its own first.

A foreign file may crash the libraries that read it, fill the memory, or never come to an end.
`python -m paretune.search.rehearsal` is that process; what it has prepared is found in the cache.
"""

import faulthandler
import hashlib
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paretune.errors import CandidateError, ParetuneError, UserError
from paretune.evaluators import Splits
from paretune.evaluators.processes.exhaustion import is_out_of_memory, out_of_memory
from paretune.evaluators.processes.memory import default_memory_limit
from paretune.evaluators.processes.serving import Note, serve
from paretune.evaluators.processes.worker import Worker
from paretune.files import write_whole
from paretune.plugins import load_plugin

BACKENDS = "paretune.backends"

_COMMAND = (sys.executable, "-P", "-m", "paretune.search.rehearsal")
_SECONDS = 3600.0


def rehearse(
    backend: str,
    model: Path,
    splits: Splits,
    cache: Path,
    options: Mapping[str, Any],
    seconds: float = _SECONDS,
) -> None:
    """Let another process prepare a model, unless one has done so before.

    Args:
        backend: name of its plugin; it is told the other arguments.
        seconds: that it may take.

    Raises:
        UserError: the model is unusable, crashes what reads it, or goes beyond a limit.
        TransientError: the process was killed from outside.
    """
    cache.mkdir(parents=True, exist_ok=True)
    done = cache / f"{hashlib.sha256(model.read_bytes()).hexdigest()[:32]}.prepared"
    if done.exists():
        return
    limit = default_memory_limit()
    request = pickle.dumps((backend, model, splits, cache, options, limit))
    log = cache / "preparing.log"
    worker = Worker(_COMMAND, log, name="the process that prepares the model", memory=limit)
    try:
        refused = worker.ask(request, seconds=seconds).decode()
    except CandidateError as error:
        raise UserError(f"model '{model}': {error}") from None
    finally:
        worker.close()
        log.unlink(missing_ok=True)
    if refused:
        raise UserError(refused)
    write_whole(done, b"yes\n")


def answer(request: bytes, _: Note) -> bytes:
    """Why the model cannot be prepared; nothing if it is, or if only a bug of ours is in the way.

    That one is met again in the process that asked, which shows its traceback.
    """
    backend, model, splits, cache, options, limit = pickle.loads(request)
    try:
        load_plugin(BACKENDS, backend)().prepare(model, splits.calibration, cache, options)
    except Exception as error:  # noqa: BLE001
        if is_out_of_memory(error):
            return f"model '{model}': {out_of_memory(limit)}".encode()
        return str(error).encode() if isinstance(error, ParetuneError) else b""
    return b""


if __name__ == "__main__":
    faulthandler.enable()
    serve(answer)
