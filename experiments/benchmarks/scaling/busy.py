"""How busy one driver keeps many workers: simulated ones, whose trials only sleep.

The driver, its sampler, its store on a journal, and Dask's scheduler and workers are real and share
this machine; a trial is a sleep and made-up figures. As in a night on many machines, the driver has
a process to itself.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed import Client

from experiments.benchmarks.dask_scheduler import Scheduler
from experiments.benchmarks.driver_cost import InstantBench, Stopwatch
from paretune.search.attempt import Job, attempt, attempt_reference
from paretune.search.budget import Budget
from paretune.search.cluster.crew import ClusterCrew
from paretune.search.cluster.work import Workplace
from paretune.search.cluster.workers import Workers
from paretune.search.driver import Driver
from paretune.search.samplers import make_sampler
from paretune.search.store import StudyStore
from paretune.search.trial import Trial


class Sleeping(Workplace):
    """Every trial takes the same time."""

    def __init__(self, seconds: float) -> None:
        self.name = "sleeping"
        self._seconds = seconds

    def open(self) -> None:
        """Nothing is needed."""

    def attempt(self, job: Job) -> Trial:
        """Sleep, then make up the figures."""
        time.sleep(self._seconds)
        return attempt(InstantBench(Stopwatch()), job, Path("none"))


class Simulated:
    """A cluster of workers that are threads of one other process."""

    def __init__(self, client: Client, slots: int) -> None:
        self.client = client
        self._slots = slots

    def slots(self) -> int:
        return self._slots


def busy(
    sampler: str,
    workers: int = 64,
    seconds: float = 2.0,
    trials: int = 1500,
    warn: Callable[[str], None] = print,
) -> float:
    """The share of the workers' time that went into trials, from when all have begun.

    Until the last is begun, that is: a search ends with workers that have nothing left to do.
    """
    bench = InstantBench(Stopwatch())
    with (
        tempfile.TemporaryDirectory() as name,
        _cluster(workers, Path(name)) as client,
        Workers(Simulated(client, workers), Sleeping(seconds), warn) as team,
    ):
        folder = Path(name)
        reference = attempt_reference(bench, folder / "reference.onnx")
        with StudyStore.create(folder, bench.info) as store:
            crew = ClusterCrew(bench.info, team, ())
            sampling, budget = make_sampler(sampler, 0), Budget(trials)
            Driver(bench, store, sampling, budget, crew=crew).run(reference)
            ended = [trial.spent for trial in store.searched_trials()]
    # Each worker's first trial has begun with the search; from then on all could be at work.
    steady = ended[workers:]
    return len(steady) * seconds / (workers * (steady[-1] - steady[0]))


@contextmanager
def _cluster(threads: int, folder: Path) -> Iterator[Client]:
    """A scheduler and a worker with so many threads, each a process."""
    command = [sys.executable, "-m", "dask", "worker", "--no-nanny", "--no-dashboard"]
    command += ["--nthreads", str(threads), "--local-directory", str(folder)]
    with (folder / "worker.log").open("wb") as log, Scheduler(folder) as scheduler:
        worker = subprocess.Popen([*command, scheduler.address()], stdout=log, stderr=log)
        try:
            with Client(scheduler.address(), set_as_default=False) as client:
                client.wait_for_workers(1)
                yield client
        finally:
            worker.kill()
            worker.wait()
