"""What a measuring process has at hand: its runtime, and what it has loaded."""

from pathlib import Path

from paretune.errors import Infeasible, InferenceError, UserError
from paretune.evaluators.arrays import load_arrays
from paretune.evaluators.data import Array
from paretune.evaluators.measuring.contention import Contention
from paretune.evaluators.measuring.job import (
    EXPECTED,
    INPUTS,
    MODEL,
    REFERENCE,
    REFERENCE_EXPECTED,
    Job,
    Setup,
)
from paretune.evaluators.runtimes.agreement import check_agreement
from paretune.evaluators.runtimes.runtime import GROUP, Model, Runtime, RuntimePlugin
from paretune.plugins import load_plugin

_Version = tuple[Path, int, int]

_PATIENCE_SECONDS = 5.0
_LEAST_PATIENCE_SECONDS = 0.1


class Workplace:
    """The runtime, the inputs and the reference, which stay while jobs come and go.

    Args:
        setup: of every job that comes here.

    Attributes:
        output_error: of the latest check; None without outputs to compare with.
        contention: what is known of the core.
        patience: seconds that a measurement may wait for an end of what disturbs it.

    Raises:
        UserError: there is no such runtime, or not with these options.
    """

    def __init__(self, setup: Setup) -> None:
        plugin: RuntimePlugin = load_plugin(GROUP, setup.runtime)
        self.setup = setup
        self.contention = Contention()
        self.patience = _PATIENCE_SECONDS
        self.runtime: Runtime = plugin.create(setup.threads, setup.options)
        self._feeds: tuple[_Version, dict[str, Array]] | None = None
        self._reference: tuple[_Version, Model] | None = None
        self.output_error: float | None = None

    def learn(self, *, disturbed: bool) -> None:
        """Wait less after a measurement that waited in vain, and again after one that did not."""
        shorter = max(self.patience / 2, _LEAST_PATIENCE_SECONDS)
        self.patience = shorter if disturbed else _PATIENCE_SECONDS

    def feeds(self, job: Job) -> dict[str, Array]:
        """The job's inputs."""
        path = Path(job.files[INPUTS])
        version = _version(path)
        if self._feeds is None or self._feeds[0] != version:
            self._feeds = version, load_arrays(path)
        return self._feeds[1]

    def reference(self, job: Job) -> Model:
        """The fp32 model; its outputs are those expected, where the job says which.

        Raises:
            UserError: the runtime cannot load it, or computes something else.
        """
        version = _version(Path(job.files[REFERENCE]))
        if self._reference is None or self._reference[0] != version:
            try:
                model = self._load(job, REFERENCE, REFERENCE_EXPECTED)
            except (InferenceError, Infeasible) as error:
                raise UserError(f"the reference model, in {self.runtime.name}: {error}") from error
            self._reference = version, model
        return self._reference[1]

    def candidate(self, job: Job) -> Model:
        """The model to measure, loaded anew; its outputs are those expected.

        Raises:
            InferenceError: the runtime cannot load or run it.
            Infeasible: the runtime computes something else than the job says.
        """
        return self._load(job, MODEL, EXPECTED)

    def check(self, model: Model, job: Job, expected: str = EXPECTED) -> None:
        """See that a model's outputs are those expected, where the job says which.

        Raises:
            InferenceError: the runtime cannot run it.
            Infeasible: they are others.
        """
        self.output_error = None
        if expected in job.files:
            outputs = model.run(self.feeds(job))
            wanted = load_arrays(Path(job.files[expected]))
            self.output_error = check_agreement(outputs, wanted, self.runtime.tolerance)

    def _load(self, job: Job, role: str, expected: str) -> Model:
        model = self.runtime.load(Path(job.files[role]))
        self.check(model, job, expected)
        return model


def _version(path: Path) -> _Version:
    """A file of the same name may come to hold something else."""
    status = path.stat()
    return path, status.st_mtime_ns, status.st_size
