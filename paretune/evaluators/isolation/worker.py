"""The evaluating process: `python -m paretune.evaluators.isolation.worker`.

The requests are pickled, for they hold users' own functions. The answers are JSON:
`{"metrics": …}`, `{"measured": …, "seconds": …}`, `{}`, or `{"error": …}` as `measuring.failures`
spells it, with `unexpected` where it is none of Paretune's own and `spoiled` where memory ran out.
"""

import faulthandler
import json
import pickle
import traceback
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from paretune.errors import CandidateError, ParetuneError, TransientError
from paretune.evaluators.isolation.requests import Close, Create, Measure, Request
from paretune.evaluators.measuring.failures import describe_failure
from paretune.evaluators.processes.exhaustion import is_out_of_memory, out_of_memory
from paretune.evaluators.processes.serving import Teller, serve
from paretune.evaluators.suite import EvaluatorSuite
from paretune.evaluators.watch import Watch
from paretune.faults import machine_error
from paretune.importing import describe

_DEVICE_SECONDS = 24 * 3600.0
"""A device is waited for; it has limits of its own, and whoever asks it has patience to lose."""


class EvaluatingProcess:
    """The suite, and who is told what it does. A context manager."""

    def __init__(self) -> None:
        self._suite: EvaluatorSuite | None = None
        self._stack = ExitStack()
        self._memory: int | None = None
        self._seconds = 0.0
        self._tell: Teller | None = None

    def answer(self, request: bytes, tell: Teller) -> bytes:
        """Do what is asked; whatever goes wrong is part of the answer."""
        self._tell = tell
        try:
            return json.dumps(self._do(pickle.loads(request))).encode()
        # A user's function may also try to end the program.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            return json.dumps(self._failed(error)).encode()

    def __enter__(self) -> "EvaluatingProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _do(self, request: Request) -> dict[str, Any]:
        match request:
            case Create(configured, wanted, context, devices, seconds):
                self._memory, self._seconds = context.memory_limit, seconds
                watch = Watch(self._changed)
                suite = EvaluatorSuite.create(configured, wanted, context, devices, watch)
                self._suite = self._stack.enter_context(suite)
                return {"metrics": [asdict(metric) for metric in suite.metrics]}
            case Measure(artifact, split, seconds, only, part):
                assert self._suite is not None
                self._seconds = seconds
                measured, spent = self._suite.measure(artifact, split, only, part)
                return {"measured": {k: m.to_dict() for k, m in measured.items()}, "seconds": spent}
            case Close():
                self._stack.close()
                return {}

    def _changed(self, doing: str, waiting: bool) -> None:
        assert self._tell is not None
        self._tell.allow(_DEVICE_SECONDS if waiting else self._seconds)
        self._tell(doing)

    def _failed(self, error: BaseException) -> dict[str, Any]:
        if is_out_of_memory(error) and not isinstance(error, TransientError):
            return {"error": describe_failure(out_of_memory(self._memory)), "spoiled": True}
        if (fault := machine_error(error)) is not None:
            error = fault
        if isinstance(error, ParetuneError):
            return {"error": describe_failure(error)}
        traceback.print_exception(error)
        return {"error": describe_failure(CandidateError(describe(error))), "unexpected": True}


if __name__ == "__main__":
    faulthandler.enable()
    with EvaluatingProcess() as process:
        serve(process.answer)
