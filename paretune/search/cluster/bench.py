"""A bench with help: workers measure answers ahead, and lanes what needs a device meanwhile."""

from collections.abc import Mapping, Sequence, Set
from concurrent.futures import Future, wait

from paretune.errors import OutOfTime, UserError
from paretune.evaluators import Artifact, Measurement, SplitName
from paretune.evaluators.part import Part
from paretune.search.attempt import Job
from paretune.search.bench import BenchAround, Measured
from paretune.search.cluster.crew import MOMENT_S
from paretune.search.cluster.lanes import Lane
from paretune.search.cluster.workers import Workers
from paretune.search.trial import Trial, TrialStatus
from paretune.search.workbench import Workbench
from paretune.spaces import Policy


class TeamBench(BenchAround):
    """Measures what is no job of the search: the reference, and the front once more.

    Answers that no worker has measured ahead are measured here.
    """

    def __init__(
        self, bench: Workbench, lanes: Sequence[Lane], workers: Workers | None = None
    ) -> None:
        """Args:
        bench: measures what needs no device.
        workers: do so, too.
        """
        super().__init__(bench)
        self._suite = bench.suite
        self._lanes = lanes
        self._workers = workers
        self._devices = frozenset[str]().union(*(lane.metrics for lane in lanes))
        self._promised: dict[tuple[Policy, SplitName], Future[Trial]] = {}

    def ahead(self, policies: Sequence[Policy], split: SplitName) -> None:
        """Let workers begin with the answers."""
        for policy in policies:
            if (policy, split) not in self._promised and (workers := self._help()) is not None:
                job = Job(policy, split, elsewhere=self._devices)
                self._promised[policy, split] = workers.attempt(job)

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
        if rest and part is None:
            found |= self._from_worker(artifact, split)
        if rest - found.keys():
            here, seconds = self._bench.measure_only(artifact, split, rest, part)
            found |= here
        for future in futures:
            found |= future.result()
        wanted = [metric.name for metric in self.info.metrics if metric.name in metrics]
        return {name: found[name] for name in wanted}, seconds

    def _from_worker(self, artifact: Artifact, split: SplitName) -> Mapping[str, Measurement]:
        """What a worker has measured of an artifact; nothing if that came to nothing.

        Raises:
            OutOfTime: it was not ready in time.
        """
        promise = self._promised.pop((artifact.policy, split), None)
        if promise is None:
            return {}
        while not wait([promise], MOMENT_S).done:
            if self._suite.overdue():
                raise OutOfTime("measuring was given up, as the time is over")
            if self._help() is None:
                return {}
        if promise.exception() is not None:
            return {}
        trial = promise.result()
        alike = trial.artifact_sha256 == artifact.sha256
        complete = trial.status is TrialStatus.COMPLETE
        return trial.measurements if complete and alike else {}

    def _help(self) -> Workers | None:
        """The workers, if any are there: a front can be finished without."""
        try:
            return self._workers if self._workers is not None and self._workers.slots() else None
        except UserError:
            return None
