"""A bench whose devices are lanes: answers are measured here, and meanwhile the rest there."""

from collections.abc import Mapping, Sequence, Set
from concurrent.futures import Future

from paretune.evaluators import Artifact, Measurement, SplitName
from paretune.evaluators.part import Part
from paretune.search.bench import BenchAround, Measured
from paretune.search.cluster.lanes import Lane
from paretune.search.workbench import Workbench


class LaneBench(BenchAround):
    """Measures what is no job of the search: the reference, and the front once more."""

    def __init__(self, bench: Workbench, lanes: Sequence[Lane]) -> None:
        """Args:
        bench: measures what needs no device.
        """
        super().__init__(bench)
        self._lanes = lanes

    def measure(self, artifact: Artifact, split: SplitName) -> Measured:
        """As `Workbench.measure`."""
        return self.measure_only(artifact, split, {metric.name for metric in self.info.metrics})

    def measure_only(
        self, artifact: Artifact, split: SplitName, metrics: Set[str], part: Part | None = None
    ) -> Measured:
        """As `Workbench.measure_only`."""
        rest = set(metrics)
        futures: list[Future[Mapping[str, Measurement]]] = []
        for lane in self._lanes:
            if there := rest & lane.metrics:
                futures.append(lane.measure(artifact.policy, split, there))
                rest -= there
        found: dict[str, Measurement] = {}
        seconds: Mapping[str, float] = {}
        if rest:
            here, seconds = self._bench.measure_only(artifact, split, rest, part)
            found |= here
        for future in futures:
            found |= future.result()
        wanted = [metric.name for metric in self.info.metrics if metric.name in metrics]
        return {name: found[name] for name in wanted}, seconds
