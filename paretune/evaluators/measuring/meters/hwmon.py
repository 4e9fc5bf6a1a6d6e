"""Linux hwmon sensors: the energy, power, or voltage and current that a board's chips measure."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from paretune.evaluators.measuring.meters.counter import Counter
from paretune.evaluators.measuring.meters.integral import Integral
from paretune.evaluators.measuring.meters.meter import NoMeter, Source, named
from paretune.evaluators.measuring.meters.sysfs import number, number_again, text

_GRAPHICS = {"amdgpu", "i915", "nouveau", "radeon", "xe"}
"""Chips that know of a graphics card only; taken when named."""

_COUNTER_SECONDS = 0.01
_SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class Channel:
    """A channel of a chip.

    Attributes:
        name: chip and label, such as `ina3221/VDD_IN`.
        place: such as `hwmon2/in1`.
        files: one with microjoules or microwatts, or two with millivolts and milliamperes.
        counts: the file counts energy; else power is integrated.
        resolution: seconds between two updates, about.
    """

    name: str
    place: str
    files: tuple[Path, ...]
    counts: bool
    resolution: float

    def open(self) -> Source:
        """Start counting.

        Raises:
            NoMeter: a file cannot be read.
        """
        if self.counts:
            return Counter(self.files[0])
        for file in self.files:
            number(file)
        return Integral(partial(_watts, self.files), _SAMPLE_SECONDS)


def find(root: Path, wanted: Sequence[str] = ()) -> list[Channel]:
    """The channels to add up.

    Args:
        root: of sysfs.
        wanted: names (`ina3221/VDD_IN`) or places (`hwmon2/in1`); by default the only one.

    Raises:
        NoMeter: there are none, or several and none is named.
    """
    parent = root / "class" / "hwmon"
    chips = sorted(parent.glob("hwmon*"))
    channels = [channel for chip in chips for channel in _channels(chip)]
    if wanted:
        return named(channels, wanted)
    own = [channel for channel in channels if channel.name.split("/")[0] not in _GRAPHICS]
    if not own:
        raise NoMeter(f"no energy*_input, power*_input or in*_input with curr*_input in {parent}")
    if len(own) > 1:
        # One is often part of another: the board's input, and the CPU's rail behind it.
        names = ", ".join(f"{channel.name} ({channel.place})" for channel in own)
        raise NoMeter(f"several sensors in {parent}; name those to add up in 'sensors': {names}")
    return own


def _channels(chip: Path) -> list[Channel]:
    """Of the best kind that the chip has; the others tell the same once more."""
    kinds: tuple[Callable[[Path], Iterator[Channel]], ...] = (_energies, _powers, _currents)
    return next((found for kind in kinds if (found := list(kind(chip)))), [])


def _energies(chip: Path) -> Iterator[Channel]:
    for file in _files(chip, r"energy\d+_input"):
        key = file.name.removesuffix("_input")
        yield Channel(_name(chip, key), f"{chip.name}/{key}", (file,), True, _COUNTER_SECONDS)


def _powers(chip: Path) -> Iterator[Channel]:
    seen = set()
    # An average over the chip's own interval misses less than a value of now.
    for file in [*_files(chip, r"power\d+_average"), *_files(chip, r"power\d+_input")]:
        key = file.name.rpartition("_")[0]
        if key not in seen:
            seen.add(key)
            yield Channel(_name(chip, key), f"{chip.name}/{key}", (file,), False, _interval(chip))


def _currents(chip: Path) -> Iterator[Channel]:
    for volts in _files(chip, r"in\d+_input"):
        key = volts.name.removesuffix("_input")
        amperes = chip / f"curr{key.removeprefix('in')}_input"
        if amperes.exists():
            place = f"{chip.name}/{key}"
            yield Channel(_name(chip, key), place, (volts, amperes), False, _interval(chip))


def _files(chip: Path, pattern: str) -> list[Path]:
    return sorted(file for file in chip.iterdir() if re.fullmatch(pattern, file.name))


def _name(chip: Path, key: str) -> str:
    return f"{text(chip / 'name', chip.name)}/{text(chip / f'{key}_label', key)}"


def _interval(chip: Path) -> float:
    try:
        return max(_SAMPLE_SECONDS, number(chip / "update_interval") / 1e3)
    except NoMeter:
        return _SAMPLE_SECONDS


def _watts(files: Sequence[Path]) -> float:
    # Millivolts times milliamperes are microwatts.
    micro = 1
    for file in files:
        micro *= number_again(file)
    return micro * 1e-6
