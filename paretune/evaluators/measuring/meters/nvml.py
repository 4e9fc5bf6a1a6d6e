"""The energy counters of NVIDIA GPUs (Volta and later), through NVML."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretune.errors import TransientError
from paretune.evaluators.measuring.meters.meter import NoMeter, named


@dataclass(frozen=True)
class Gpu:
    """A GPU.

    Attributes:
        name: its model.
        index: as `nvidia-smi` counts.
        resolution: seconds between two updates of the counter, at the slowest.
    """

    name: str
    index: int
    resolution: float = 0.1

    @property
    def place(self) -> str:
        return str(self.index)

    def open(self) -> "GpuCounter":
        """Start counting.

        Raises:
            NoMeter: it does not count.
        """
        return GpuCounter(self.index)


class GpuCounter:
    """The energy counter of a GPU, which counts millijoules since the driver was loaded."""

    def __init__(self, index: int) -> None:
        self._nvml = _nvml()
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            raise NoMeter(f"NVML does not start: {error}") from error
        try:
            self._handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
            self._start = self._millijoules()
        except self._nvml.NVMLError as error:
            self.close()
            raise NoMeter(f"GPU {index} does not count its energy: {error}") from error

    def read(self) -> float:
        """Joules since it was opened.

        Raises:
            TransientError: the driver does not answer any more.
        """
        try:
            return (self._millijoules() - self._start) * 1e-3
        except self._nvml.NVMLError as error:
            raise TransientError(f"the energy meter broke off: {error}") from error

    def close(self) -> None:
        """NVML counts its users."""
        self._nvml.nvmlShutdown()

    def _millijoules(self) -> int:
        return int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))


def find(_root: Path, wanted: Sequence[str] = ()) -> list[Gpu]:
    """The GPUs to add up.

    Args:
        wanted: names or, as `nvidia-smi` counts, indices; by default the only one.

    Raises:
        NoMeter: there are none, or several and none is named.
    """
    with _started() as nvml:
        count = nvml.nvmlDeviceGetCount()
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
        gpus = [Gpu(nvml.nvmlDeviceGetName(handle), i) for i, handle in enumerate(handles)]
    if wanted:
        return named(gpus, wanted)
    if not gpus:
        raise NoMeter("the driver knows of no GPU")
    if len(gpus) > 1:
        names = ", ".join(f"{gpu.place} ({gpu.name})" for gpu in gpus)
        raise NoMeter(f"several GPUs; name those that the runtime uses in 'sensors': {names}")
    return gpus


@contextmanager
def _started() -> Iterator[Any]:
    nvml = _nvml()
    try:
        nvml.nvmlInit()
        try:
            yield nvml
        finally:
            nvml.nvmlShutdown()
    except nvml.NVMLError as error:
        raise NoMeter(f"NVML does not start: {error}") from error


def _nvml() -> Any:
    try:
        import pynvml
    except ImportError as error:
        raise NoMeter("NVML needs the package nvidia-ml-py; pip install nvidia-ml-py") from error
    return pynvml
