"""Which meters a device has."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from paretune.errors import UserError
from paretune.evaluators.measuring.meters import hwmon, nvml, powercap
from paretune.evaluators.measuring.meters.meter import Meter, NoMeter, Sensor
from paretune.names import nearest

AUTO = "auto"
METERS: Mapping[str, Callable[[Path, Sequence[str]], Sequence[Sensor]]] = {
    "powercap": powercap.find,
    "hwmon": hwmon.find,
    "nvml": nvml.find,
}
"""Name to what finds the sensors below a root of sysfs; it raises `NoMeter`."""


def open_meter(
    choice: str, sensors: Sequence[str] = (), *, root: Path = Path("/sys"), on_gpu: bool = False
) -> Meter:
    """Open a meter.

    Args:
        choice: a name, or `auto` for the first that there is: of the GPU, or of the host.
        sensors: names of those to add up; by default what `find` of the meter takes.
        root: of sysfs.
        on_gpu: the models run on an NVIDIA GPU.

    Raises:
        UserError: there is none, with the places looked at, or it may not be read.
    """
    if choice not in (AUTO, *METERS):
        raise UserError(f"unknown energy meter '{choice}'{nearest(choice, [AUTO, *METERS])}")
    names = [choice]
    if choice == AUTO:
        # Never another thing's meter: a GPU's model is not measured by the host's.
        names = ["nvml"] if on_gpu else ["powercap", "hwmon"]
    reasons = []
    for name in names:
        try:
            found = METERS[name](root, sensors)
        except NoMeter as error:
            reasons.append(f"{name}: {error}")
            continue
        try:
            return Meter(name, found)
        except NoMeter as error:
            # Not on to the next one, which measures something else, without being told to.
            raise UserError(f"the energy meter '{name}' cannot be read: {error}") from error
    raise UserError(f"no energy meter found ({'; '.join(reasons)})")
