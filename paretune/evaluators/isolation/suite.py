"""The evaluators of a study in a process of their own, which is replaced when it dies."""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import cloudpickle

from paretune.errors import CandidateError, OutOfTime, ParetuneError, TransientError, UserError
from paretune.evaluators.artifact import Artifact
from paretune.evaluators.devices.device import DeviceSpec
from paretune.evaluators.evaluator import EvaluationContext, SplitName
from paretune.evaluators.isolation.requests import Close, Create, Measure
from paretune.evaluators.measurement import Measurement
from paretune.evaluators.measuring.failures import failure
from paretune.evaluators.metric import Metric
from paretune.evaluators.part import Part
from paretune.evaluators.processes.memory import default_memory_limit
from paretune.evaluators.processes.worker import Worker
from paretune.evaluators.suite import HOST, Configured
from paretune.files import remove_if_empty

_COMMAND = (sys.executable, "-P", "-m", "paretune.evaluators.isolation.worker")
_NAME = "the evaluating process"

_START_SECONDS = 600.0
_REFERENCE_SECONDS = 3600.0
_CLOSE_SECONDS = 10.0

_LEAST_SECONDS = 60.0
_TIMES_THE_REFERENCE = 20.0


class IsolatedSuite:
    """An `EvaluatorSuite` that candidates cannot take down. Build it with `create`.

    Attributes:
        metrics: what `measure` measures, in the order in which they were wanted.
        overdue: asked while something is measured; when true, that is given up.
    """

    def __init__(self, create: bytes, log: Path, seconds: float | None, memory: int | None) -> None:
        """Use `IsolatedSuite.create`."""
        self._create = create
        self._log = log
        self._limit = seconds
        self._memory = memory
        self._reference_seconds: float | None = None
        self._worker: Worker | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._measured = 0
        self.overdue: Callable[[], bool] = lambda: False
        self.metrics = self._start()

    @staticmethod
    def create(
        configured: Configured,
        wanted: Sequence[str],
        context: EvaluationContext,
        devices: Sequence[DeviceSpec] = HOST,
        *,
        log: Path,
        seconds: float | None = None,
        memory: int | None = None,
    ) -> "IsolatedSuite":
        """Start the evaluators of the wanted metrics.

        Args:
            configured, wanted, context, devices: as for `EvaluatorSuite.create`.
            log: what evaluators print, and the tracebacks of their errors, are appended to it.
            seconds: that an evaluator may take for a candidate on this host; by default 60, and 20
                times what the reference took.
            memory: bytes that the evaluating process may allocate, and each that measures on this
                host; by default three quarters of what is available.

        Raises:
            UserError: as `EvaluatorSuite.create`, or what the user gave cannot be handed over.
        """
        reference = replace(context.reference, path=context.reference.path.resolve())
        limit = default_memory_limit() if memory is None else memory
        context = replace(context, reference=reference, memory_limit=limit)
        create = Create(configured, wanted, context, devices, _START_SECONDS)
        try:
            pickled = cloudpickle.dumps(create)
        except Exception as error:
            raise UserError(
                f"an evaluator's options cannot be handed to {_NAME}: {error}"
            ) from error
        try:
            return IsolatedSuite(pickled, log.resolve(), seconds, limit)
        except (CandidateError, TransientError) as error:
            raise UserError(f"the evaluators cannot be started: {error}") from error

    def expect(self, reference_seconds: float) -> None:
        """Base the default time limit on what measuring the reference took."""
        self._reference_seconds = reference_seconds

    def measure(
        self,
        artifact: Artifact,
        split: SplitName,
        only: Set[str] | None = None,
        part: Part | None = None,
    ) -> tuple[dict[str, Measurement], dict[str, float]]:
        """Measure all wanted metrics, as `EvaluatorSuite.measure` does.

        Raises:
            Infeasible, CandidateError, UserError: as `EvaluatorSuite.measure`.
            CandidateError: also when the candidate crashed the process, exceeded a limit, or an
                evaluator raised an error that is none of Paretune's.
            TransientError: the process was killed from outside, or does not start again.
            OutOfTime: it was given up.
        """
        if self._worker is None:
            try:
                self._start()
            except ParetuneError as error:
                # It did start with the study, and has not seen this candidate yet.
                raise TransientError(f"the evaluators do not start again: {error}") from error
        artifact = replace(artifact, path=artifact.path.resolve())
        seconds = self._seconds()
        begin = time.monotonic()
        request = Measure(artifact, split, seconds, only, part)
        try:
            answer = self._ask(cloudpickle.dumps(request), seconds, self.overdue)
        except TransientError:
            if self.overdue():
                raise OutOfTime("measuring was given up, as the time is over") from None
            raise
        self._measured += 1
        if self._reference_seconds is None:
            self._reference_seconds = time.monotonic() - begin
        measured = {name: Measurement.from_dict(data) for name, data in answer["measured"].items()}
        return measured, answer["seconds"]

    def close(self) -> None:
        """Close the evaluators, and end their process."""
        if self._worker is not None:
            with suppress(ParetuneError):
                self._ask(cloudpickle.dumps(Close()), _CLOSE_SECONDS)
        self._end()
        remove_if_empty(self._log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> tuple[Metric, ...]:
        # What evaluators leave there when they are killed goes with it.
        self._scratch = tempfile.TemporaryDirectory(prefix="paretune-")
        places = dict.fromkeys(place or str(Path.cwd()) for place in sys.path)
        try:
            self._worker = Worker(
                _COMMAND,
                self._log,
                name=_NAME,
                memory=self._memory,
                env={
                    **os.environ,
                    # It has to find the user's modules where this process does.
                    "PYTHONPATH": os.pathsep.join(places),
                    "TMPDIR": self._scratch.name,
                },
            )
            self._measured = 0
            answer = self._ask(self._create, _START_SECONDS)
        except BaseException:
            self._end()
            raise
        return tuple(Metric(**metric) for metric in answer["metrics"])

    def _ask(
        self, request: bytes, seconds: float, cancelled: Callable[[], bool] = lambda: False
    ) -> dict[str, Any]:
        assert self._worker is not None
        try:
            reply = self._worker.ask(request, seconds=seconds, cancelled=cancelled)
            answer: dict[str, Any] = json.loads(reply)
        except BaseException:
            self._end()
            raise
        if "error" not in answer:
            return answer
        error = failure(answer["error"])
        if answer.get("unexpected"):
            raise CandidateError(f"{error}; the traceback is in '{self._log}'")
        if answer.get("spoiled"):
            # Memory that ran out may have left anything behind.
            self._end()
            if self._measured:
                raise TransientError(f"{error}; but others had been measured there before")
        raise error

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def _seconds(self) -> float:
        """That each evaluator may take now."""
        reference = self._reference_seconds
        if reference is None:
            return max(self._limit or 0.0, _REFERENCE_SECONDS)
        limit = self._limit or _LEAST_SECONDS + _TIMES_THE_REFERENCE * reference
        # What has just been started measures the reference, too.
        return limit if self._measured else limit + 2 * reference
