"""What makes and measures models."""

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Protocol

from paretune.evaluators import Artifact, Measurement, SplitName
from paretune.evaluators.part import Part
from paretune.search.info import StudyInfo
from paretune.spaces import Policy, Space

Measured = tuple[Mapping[str, Measurement], Mapping[str, float]]


class Bench(Protocol):
    """What makes and measures models: a `Workbench`, or something simpler in a test."""

    @property
    def space(self) -> Space: ...
    @property
    def info(self) -> StudyInfo: ...
    def apply(self, policy: Policy, path: Path) -> Artifact: ...
    def measure(self, artifact: Artifact, split: SplitName) -> Measured: ...
    def measure_only(
        self,
        artifact: Artifact,
        split: SplitName,
        metrics: Set[str],
        part: Part | None = None,
    ) -> Measured: ...
    def ahead(self, policies: Sequence[Policy], split: SplitName) -> None:
        """These are measured next, in this order: who has help may begin."""
        ...


class BenchAround:
    """Makes what another bench makes; how it is measured is up to the subclass."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    @property
    def space(self) -> Space:
        return self._bench.space

    @property
    def info(self) -> StudyInfo:
        return self._bench.info

    def apply(self, policy: Policy, path: Path) -> Artifact:
        """As the other bench does."""
        return self._bench.apply(policy, path)

    def ahead(self, policies: Sequence[Policy], split: SplitName) -> None:
        """As the other bench does."""
        self._bench.ahead(policies, split)
