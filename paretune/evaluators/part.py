"""A part of a split: how much of it is measured now."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """Some samples of a split, those that may tell most.

    Asked for one after the other with growing shares, parts are nested: what was measured of an
    artifact is not measured again.

    Attributes:
        share: of the samples, above 0; at 1 it is the whole split.
    """

    share: float
