"""A bench that measures some of a study's metrics only."""

from collections.abc import Callable, Set
from pathlib import Path
from threading import Lock

from paretune.evaluators import Artifact, Metric, SplitName
from paretune.evaluators.isolation.suite import IsolatedSuite
from paretune.evaluators.part import Part
from paretune.search.bench import BenchAround, Measured
from paretune.search.workbench import Workbench
from paretune.spaces import Policy


class Place(BenchAround):
    """Where certain metrics are measured: a device, or what a worker does without one.

    Several places may share a workbench, each with evaluators of its own.

    Attributes:
        suite: the evaluators.
        metrics: names of what is measured here.
    """

    def __init__(
        self, bench: Workbench, suite: IsolatedSuite, building: "Lock | None" = None
    ) -> None:
        """Args:
        building: held while an artifact is made, if others use the workbench, too.
        """
        super().__init__(bench)
        self.suite = suite
        self._building = building or Lock()
        self.metrics = frozenset(metric.name for metric in suite.metrics)

    @property
    def elsewhere(self) -> frozenset[str]:
        """Names of the study's other metrics."""
        return frozenset(metric.name for metric in self.info.metrics) - self.metrics

    def apply(self, policy: Policy, path: Path) -> Artifact:
        """As `Workbench.apply`."""
        with self._building:
            return super().apply(policy, path)

    def measure(self, artifact: Artifact, split: SplitName) -> Measured:
        """As `Workbench.measure`."""
        return self.suite.measure(artifact, split)

    def measure_only(
        self, artifact: Artifact, split: SplitName, metrics: Set[str], part: Part | None = None
    ) -> Measured:
        """As `Workbench.measure_only`."""
        return self.suite.measure(artifact, split, metrics, part)


def on_device(name: str) -> Callable[[Metric], bool]:
    """What is measured on the device whose name metrics end in; empty for a study's only one."""
    return lambda metric: metric.per_device and metric.device == name
