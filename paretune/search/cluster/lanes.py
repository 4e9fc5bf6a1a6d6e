"""Lanes: every device measures one artifact after the other, in a thread of its own."""

from collections.abc import Callable, Iterator, Mapping, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock

from paretune.evaluators import Measurement, SplitName
from paretune.search.attempt import Job, attempt, measure_again
from paretune.search.cluster.cores import allowed_cores, keep_to
from paretune.search.cluster.places import Place, on_device
from paretune.search.trial import Trial
from paretune.search.workbench import Workbench
from paretune.spaces import Policy


class Lane:
    """One device."""

    def __init__(self, place: Place, path: Path) -> None:
        """Args:
        path: scratch file for the artifacts.
        """
        self._place = place
        self._path = path
        # What measures here chooses among all cores, whichever the driver keeps to.
        cores = allowed_cores()
        self._thread = ThreadPoolExecutor(1, "lane", initializer=keep_to, initargs=(cores,))

    @property
    def metrics(self) -> frozenset[str]:
        """Names of what is measured here."""
        return self._place.metrics

    def attempt(self, job: Job) -> "Future[Trial]":
        """Build the policy and measure it here; the rest of the job is left to others."""
        here = Job(job.policy, elsewhere=self._place.elsewhere)
        return self._thread.submit(attempt, self._place, here, self._path)

    def measure(
        self, policy: Policy, split: SplitName, only: Set[str]
    ) -> "Future[Mapping[str, Measurement]]":
        """Build the policy anew and measure it afresh."""
        return self._thread.submit(measure_again, self._place, policy, split, self._path, only)

    def give_up_when(self, overdue: Callable[[], bool]) -> None:
        """Measurements end, undone, as soon as this says so."""
        self._place.suite.overdue = overdue

    def close(self) -> None:
        """Begin nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)


@contextmanager
def open_lanes(bench: Workbench, scratch: Path) -> Iterator[tuple[Lane, ...]]:
    """A lane for each device that a study measures on; evaluators start, devices are connected.

    Args:
        scratch: folder for the artifacts.

    Raises:
        UserError: a device is not there, or does not do what it is asked for.
    """
    names = dict.fromkeys(m.device for m in bench.info.metrics if m.per_device)
    building = Lock()
    lanes = []
    with ExitStack() as stack:
        for number, name in enumerate(names):
            suite = stack.enter_context(bench.another_suite(on_device(name)))
            lane = Lane(Place(bench, suite, building), scratch / f"lane-{number}.onnx")
            stack.callback(lane.close)
            lanes.append(lane)
        yield tuple(lanes)
