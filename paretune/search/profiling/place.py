"""Where probes are built and measured."""

from dataclasses import dataclass
from pathlib import Path

from paretune.evaluators.arrays import save_arrays
from paretune.evaluators.devices.device import Device
from paretune.evaluators.feeds import first_samples
from paretune.evaluators.measuring.job import INPUTS, MODEL, REFERENCE, Job, Limits, Setup
from paretune.evaluators.measuring.result import Result
from paretune.search.backends import Backend, Prepared
from paretune.search.profiling.probes import Probe
from paretune.search.profiling.profile import Row
from paretune.spaces import Choice, Policy

_SECONDS = 120.0

_QUICKLY = {"calibration": "minmax", "solver": "naive"}
"""How probes are built: a choice takes as long, whatever the values of its weights."""


@dataclass(frozen=True)
class Place:
    """A device, a backend, and a folder.

    Attributes:
        device: connected.
        setup: how it runs models.
        backend: builds the choices.
        folder: for files; whoever made it removes it.
    """

    device: Device
    setup: Setup
    backend: Backend
    folder: Path

    def prepare(self, probe: Probe) -> Prepared:
        """A probe, ready for any policy."""
        model = self.folder / "probe.onnx"
        probe.write(model)
        return self.backend.prepare(model, probe.batches(), self.folder / "cache", _QUICKLY)

    def build(self, prepared: Prepared, choice: Choice, name: str) -> Path:
        """Write the probe with one choice on all its layers.

        Raises:
            Infeasible: the choice cannot be honoured.
        """
        policy = Policy.of({layer.name: choice for layer in prepared.layers})
        return prepared.apply(policy, self.folder / name).path

    def measure(self, probe: Probe, candidate: Path, reference: Path) -> Result:
        """Time a candidate against a reference.

        Raises:
            Infeasible, CandidateError: the device refuses it.
            TransientError: the device went away.
        """
        inputs = self.folder / "inputs.npz"
        save_arrays(inputs, first_samples(probe.batches()[0], probe.input_shape[0]))
        files = {MODEL: str(candidate), REFERENCE: str(reference), INPUTS: str(inputs)}
        return self.device.run(Job("latency", self.setup, files, {}, Limits(_SECONDS)))


def row_of(probe: Probe, choice: str, result: Result) -> Row:
    """A measured row."""
    ratio = result.figures["ratio"]
    return Row(probe.name, probe.op_type, choice, ratio.value, ratio.low, ratio.high)
