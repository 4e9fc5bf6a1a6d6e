"""The process that takes latency samples: `python -m paretune.evaluators.latency.worker`.

It imports next to nothing and waits for work in a blocking read; it ends when its input does.
"""

import functools
import gc
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
import onnxruntime as ort

from paretune.evaluators.latency.protocol import (
    Failed,
    Message,
    Ready,
    Request,
    Start,
    decode,
    encode,
)
from paretune.evaluators.latency.sampling import Pairs, Run, sample

_PROVIDER = "CPUExecutionProvider"
_FATAL_ONLY = 4


class _Refused(Exception):
    """ONNX Runtime cannot load or run a model; its errors have no base class of their own."""


def main() -> None:
    """Answer every line of standard input with one line on standard output."""
    answers = _private_stdout()
    first = decode(sys.stdin.readline())
    if not isinstance(first, Start):
        raise ValueError(f"the first message must be Start, but got {first}")
    # One pool for both sessions: with one each, the idle one spins on cores that the other needs.
    ort.set_global_thread_pool_sizes(first.threads, 1)
    with np.load(first.inputs, allow_pickle=False) as file:
        feeds = {name: file[f"arr_{i}"] for i, name in enumerate(first.names)}
    try:
        reference = _load(first.reference, feeds)
    except _Refused as error:
        _say(answers, Failed(str(error)))
        return
    _say(answers, Ready(ort.__version__, _PROVIDER))
    for line in sys.stdin:
        request = decode(line)
        if not isinstance(request, Request):
            raise ValueError(f"the message must be Request, but got {request}")
        _say(answers, _measure(request, reference, feeds, first))


def _measure(
    request: Request, reference: Run, feeds: Mapping[str, Any], start: Start
) -> Pairs | Failed:
    try:
        candidate = _load(request.model, feeds)
    except _Refused as error:
        return Failed(str(error))
    with _no_collection():
        return sample(
            reference,
            candidate,
            time.perf_counter,
            target=start.target,
            max_seconds=start.max_seconds,
        )


def _load(model: str, feeds: Mapping[str, Any]) -> Run:
    options = ort.SessionOptions()
    options.use_per_session_threads = False
    options.log_severity_level = _FATAL_ONLY
    try:
        session = ort.InferenceSession(model, options, providers=[_PROVIDER])
        run: Run = functools.partial(session.run, None, dict(feeds))
        run()
    except Exception as error:
        raise _Refused(str(error)) from error
    return run


@contextmanager
def _no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _private_stdout() -> IO[str]:
    """The pipe to the driver, out of reach of libraries that print."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def _say(answers: IO[str], message: Message) -> None:
    answers.write(encode(message))
    answers.flush()


if __name__ == "__main__":
    main()
