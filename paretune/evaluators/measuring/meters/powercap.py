"""Linux powercap zones: what Intel's and AMD's processors count themselves (RAPL)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from paretune.evaluators.measuring.meters.counter import Counter
from paretune.evaluators.measuring.meters.meter import NoMeter, named
from paretune.evaluators.measuring.meters.sysfs import number, text

_PACKAGE = re.compile(r"package-\d+")
_SECOND_WAY = "intel-rapl-mmio"
"""Another interface to the same counters."""

_BESIDE = "dram"
"""A subzone in the tree, but not part of the energy of the zone above it."""


@dataclass(frozen=True)
class Zone:
    """A zone of the powercap tree.

    Attributes:
        name: such as `package-0`.
        folder: with `energy_uj` in it.
        resolution: seconds between two updates.
    """

    name: str
    folder: Path
    resolution: float = 1e-3

    @property
    def place(self) -> str:
        return self.folder.name

    def open(self) -> Counter:
        """Start counting.

        Raises:
            NoMeter: its files cannot be read.
        """
        span = number(self.folder / "max_energy_range_uj")
        return Counter(self.folder / "energy_uj", span)


def find(root: Path, wanted: Sequence[str] = ()) -> list[Zone]:
    """The zones to add up.

    Args:
        root: of sysfs.
        wanted: names (`package-0`, `dram`, `psys`); by default all packages.

    Raises:
        NoMeter: there are none, or one would be counted twice.
    """
    parent = root / "class" / "powercap"
    zones = [
        Zone(text(file.parent / "name", file.parent.name), file.parent)
        for file in sorted(parent.glob("*/energy_uj"))
        if not file.parent.name.startswith(_SECOND_WAY)
    ]
    if not zones:
        raise NoMeter(f"no */energy_uj in {parent}")
    if wanted:
        return _disjoint(named(zones, wanted))
    packages = [zone for zone in zones if _PACKAGE.match(zone.name)]
    if not packages:
        names = ", ".join(dict.fromkeys(zone.name for zone in zones))
        raise NoMeter(f"no package in {parent}, but {names}; name one in 'sensors'")
    return packages


def _disjoint(zones: list[Zone]) -> list[Zone]:
    for inner in zones:
        for outer in zones:
            if inner.place.startswith(f"{outer.place}:") and inner.name != _BESIDE:
                raise NoMeter(f"'{inner.name}' is part of '{outer.name}'; name one of them")
    return zones
