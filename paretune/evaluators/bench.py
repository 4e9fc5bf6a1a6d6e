"""What an evaluator's jobs on a device have in common: files, limits, and the reference."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from paretune.errors import ParetuneError, TransientError, UserError
from paretune.evaluators.arrays import save_arrays
from paretune.evaluators.data import Array
from paretune.evaluators.devices.local import HOST
from paretune.evaluators.evaluator import EvaluationContext
from paretune.evaluators.feeds import first_samples
from paretune.evaluators.measuring.conditions import machine_id
from paretune.evaluators.measuring.job import (
    EXPECTED,
    INPUTS,
    MODEL,
    REFERENCE,
    REFERENCE_EXPECTED,
    Job,
    Kind,
    Limits,
    Setup,
)
from paretune.evaluators.measuring.result import Result
from paretune.evaluators.runtimes.expected import expected_outputs

_SECONDS = 60.0
_TIMES_REFERENCE = 20.0
_ONCE = {"least": 1, "most": 1}


@dataclass(frozen=True)
class _Inputs:
    """Inputs of one batch size.

    Attributes:
        path: of the file that holds `feeds`.
        reference_expected: file with what the reference gives; None on this host's own runtime.
        seconds: that a job may take.
    """

    feeds: Mapping[str, Array]
    path: Path
    reference_expected: Path | None
    seconds: float


class Bench:
    """Runs jobs on the context's device, with inputs from its `search` split.

    What another runtime or machine computes is compared with ONNX Runtime's outputs on this host,
    which travel with each job.

    Args:
        context: with a device.
        what: asks; begins the error messages.
    """

    def __init__(self, context: EvaluationContext, what: str) -> None:
        if context.device is None:
            raise ValueError(f"{what} needs a device")
        self._device = context.device
        self._reference = context.reference.path.resolve()
        self._batch = context.splits.search[0]
        self._what = what
        self._folder = TemporaryDirectory(prefix="paretune-bench-")
        self._inputs: dict[int, _Inputs] = {}
        plain = Setup(threads=self._device.setup.threads, cpus=self._device.setup.cpus)
        here = self._device.device.machine == machine_id()
        self._compare = not here or self._device.setup != plain
        # How much there is elsewhere, only the device knows.
        self._memory = context.memory_limit if here else None

    def add_inputs(self, batch: int) -> None:
        """Prepare for runs of so many samples, and see that the reference runs with them.

        Raises:
            UserError: it does not.
            TransientError: the device, or the way to it, failed.
        """
        feeds = first_samples(self._batch, batch)
        path = self._path(f"inputs-{batch}")
        save_arrays(path, feeds)
        with self._users_fault():
            expected = None
            if self._compare:
                expected = self._expected(self._reference, feeds, f"reference-{batch}")
        self._inputs[batch] = _Inputs(feeds, path, expected, _TIMES_REFERENCE * _SECONDS)
        figures = self.try_out("load", batch, _ONCE).figures
        # A time limit is for models that hang: slow ones have time enough.
        needed = figures["load"].value + figures["first_run"].value
        seconds = _SECONDS + _TIMES_REFERENCE * needed
        self._inputs[batch] = _Inputs(feeds, path, expected, seconds)

    def try_out(
        self, kind: Kind, batch: int, options: Mapping[str, Any], *, extra_seconds: float = 0
    ) -> Result:
        """See that the device can do such a job, with the reference.

        Args:
            kind, batch, options, extra_seconds: as for `run`.

        Raises:
            UserError: it cannot.
            TransientError: the device, or the way to it, failed.
        """
        with self._users_fault():
            return self._run(kind, self._reference, batch, options, extra_seconds)

    def run(
        self,
        kind: Kind,
        model: Path,
        batch: int,
        options: Mapping[str, Any],
        *,
        extra_seconds: float = 0,
    ) -> Result:
        """Measure a model.

        Args:
            batch: samples per run; one that was added.
            options: of the kind.
            extra_seconds: that the job may take, besides loading the model and some runs.

        Raises:
            InferenceError, CandidateError, Infeasible, TransientError: as `Device.run`.
        """
        try:
            return self._run(kind, model, batch, options, extra_seconds)
        except UserError as error:
            # The device could at the start: not a mistake that should end a search.
            raise TransientError(self._placed(error)) from error

    def _run(
        self,
        kind: Kind,
        model: Path,
        batch: int,
        options: Mapping[str, Any],
        extra_seconds: float,
    ) -> Result:
        inputs = self._inputs[batch]
        files = {
            MODEL: str(model.resolve()),
            REFERENCE: str(self._reference),
            INPUTS: str(inputs.path),
        }
        if inputs.reference_expected is not None:
            files[EXPECTED] = str(self._expected(model, inputs.feeds, f"candidate-{batch}"))
            files[REFERENCE_EXPECTED] = str(inputs.reference_expected)
        limits = Limits(inputs.seconds + extra_seconds, self._memory)
        return self._device.device.run(Job(kind, self._device.setup, files, options, limits))

    def close(self) -> None:
        """Remove the files."""
        self._folder.cleanup()

    @contextmanager
    def _users_fault(self) -> Iterator[None]:
        try:
            yield
        except (UserError, TransientError) as error:
            raise type(error)(f"{self._what}: {self._placed(error)}") from error
        except ParetuneError as error:
            text = self._placed(error, "the model itself: ")
            raise UserError(f"{self._what}: {text}") from error

    def _placed(self, error: ParetuneError, blame: str = "") -> str:
        """The error's text with the device's name, which it may have already."""
        place = f"device '{self._device.name}'"
        text = str(error).removeprefix(f"{place}: ")
        return text if text.startswith(place) else f"{place}: {blame}{text}"

    def _expected(self, model: Path, feeds: Mapping[str, Array], name: str) -> Path:
        with HOST:
            outputs = expected_outputs(model, feeds)
        path = self._path(name)
        save_arrays(path, outputs)
        return path

    def _path(self, name: str) -> Path:
        return Path(self._folder.name) / f"{name}.npz"
