"""What sampling brings home: blocks in pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """Some runs of one model in a row.

    Attributes:
        times: seconds of every run, or of a run in every group where the timer is too coarse for
            single ones; at least one, and an odd number.
    """

    times: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """Of a run, the median."""
        return sorted(self.times)[len(self.times) // 2]


@dataclass(frozen=True)
class Plan:
    """What a block consists of.

    Attributes:
        settling: runs before it, not timed, where another model ran last.
        groups: that are timed, an odd number: the median is then one of them, not a mean.
        group: runs in each.
    """

    settling: int
    groups: int
    group: int

    @property
    def runs(self) -> int:
        """That are timed."""
        return self.groups * self.group


@dataclass(frozen=True)
class Pair:
    """Blocks of both models, taken side by side.

    Attributes:
        disturbed: something interfered with one of them, and went on when it was taken again.
    """

    reference: Block
    candidate: Block
    disturbed: bool = False

    @property
    def ratio(self) -> float:
        """Candidate to reference."""
        return self.candidate.seconds / self.reference.seconds


@dataclass(frozen=True)
class Samples:
    """One measurement, in the order of time.

    Attributes:
        pairs: at least one.
        warm_up: pairs taken before.
        warm: the end of the warm-up was seen before its time limit.
        converged: sampling ended since the ratio is known as well as asked for.
        reference_plan, candidate_plan: of each block of `pairs`.
        retaken: blocks that were thrown away and taken again.
        interference: what interfered with blocks, and with how many, those thrown away included.
        surroundings: what interfered with the measurement as a whole.
    """

    pairs: tuple[Pair, ...]
    warm_up: tuple[Pair, ...]
    warm: bool
    converged: bool
    reference_plan: Plan
    candidate_plan: Plan
    retaken: int
    interference: Mapping[str, int]
    surroundings: tuple[str, ...]

    @property
    def disturbed(self) -> bool:
        """The measurement stayed disturbed."""
        return bool(self.surroundings) or mostly_disturbed(self.pairs)

    @property
    def counted(self) -> tuple[Pair, ...]:
        """The pairs that figures are made of."""
        return counted(self.pairs)


def mostly_disturbed(pairs: Sequence[Pair]) -> bool:
    """More than half of the pairs stayed disturbed."""
    return 2 * sum(pair.disturbed for pair in pairs) > len(pairs)


def counted(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """Those that were not disturbed; all where these are too few to stand for the rest."""
    if mostly_disturbed(pairs):
        return tuple(pairs)
    return tuple(pair for pair in pairs if not pair.disturbed)
