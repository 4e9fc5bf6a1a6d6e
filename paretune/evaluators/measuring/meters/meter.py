"""What every energy meter is: a counter of joules."""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from paretune.names import nearest


class NoMeter(Exception):
    """The device has no such meter, or none that may be read; the message says where it looked."""


class Source(Protocol):
    """One counter of joules."""

    def read(self) -> float:
        """Joules since it was opened.

        Raises:
            TransientError: it cannot be read any more.
        """
        ...

    def close(self) -> None:
        """Release threads and files."""
        ...


class Sensor(Protocol):
    """A source that is not opened yet.

    Attributes:
        name: as the system calls it; several may share one.
        place: where it is; unique.
        resolution: seconds between two of its updates, about.
    """

    @property
    def name(self) -> str: ...
    @property
    def place(self) -> str: ...
    @property
    def resolution(self) -> float: ...

    def open(self) -> Source:
        """Start counting.

        Raises:
            NoMeter: it cannot be read.
        """
        ...


class Meter:
    """Sensors whose joules add up.

    Args:
        name: of the kind of meter.
        sensors: at least one.

    Attributes:
        name: with its sensors, such as `powercap package-0`.
        resolution: seconds between two updates, about.

    Raises:
        NoMeter: one of them cannot be read.
    """

    def __init__(self, name: str, sensors: Sequence[Sensor]) -> None:
        self.name = f"{name} {' + '.join(sorted(sensor.name for sensor in sensors))}"
        self.resolution = max(sensor.resolution for sensor in sensors)
        self._sources: list[Source] = []
        try:
            for sensor in sensors:
                self._sources.append(sensor.open())
        except BaseException:
            self.close()
            raise

    def read(self) -> float:
        """Joules since the meter was opened.

        Raises:
            TransientError: a sensor cannot be read any more.
        """
        return sum(source.read() for source in self._sources)

    def close(self) -> None:
        """Release what the sensors hold."""
        for source in self._sources:
            source.close()


SensorT = TypeVar("SensorT", bound=Sensor)


def named(sensors: Iterable[SensorT], wanted: Iterable[str]) -> list[SensorT]:
    """The sensors of these names or places; a name that several share means all of them.

    Raises:
        NoMeter: none is called so.
    """
    listed = list(sensors)
    found = []
    for one in wanted:
        matching = [sensor for sensor in listed if one in (sensor.name, sensor.place)]
        if not matching:
            known = dict.fromkeys(sensor.name for sensor in listed)
            raise NoMeter(f"no sensor '{one}'{nearest(one, known)}")
        found += [sensor for sensor in matching if sensor not in found]
    return found
