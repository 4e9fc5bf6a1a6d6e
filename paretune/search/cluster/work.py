"""What runs in a Dask worker: attempts of policies, on a workbench that is opened once."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from distributed import Worker, WorkerPlugin, get_worker

from paretune.errors import MachineError, ParetuneError, TransientError, UserError
from paretune.evaluators.measuring.conditions import machine_id
from paretune.search.attempt import Job, attempt
from paretune.search.cluster.cores import allowed_cores, keep_to, without
from paretune.search.cluster.kit import Kit, unpack
from paretune.search.cluster.places import Place
from paretune.search.cluster.versions import installed, require_alike
from paretune.search.trial import Trial
from paretune.search.workbench import Workbench, needs_no_device


class Refused(Exception):
    """A worker cannot take part at all, whatever the policy.

    Attributes:
        worker: its address.
        why: in words.
    """

    def __init__(self, worker: str, why: str) -> None:
        super().__init__(worker, why)
        self.worker = worker
        self.why = why


class Workplace(WorkerPlugin, ABC):
    """What every worker keeps, to attempt jobs.

    Attributes:
        name: under which tasks find it.
    """

    name: str

    def open(self) -> None:
        """Get ready, in the thread that is going to attempt; whatever it raises refuses jobs."""

    @abstractmethod
    def attempt(self, job: Job) -> Trial:
        """Attempt a job in a thread that was made ready."""


class KitWorkplace(Workplace):
    """Attempts jobs on a kit's workbench. Each of a worker's threads has its own."""

    def __init__(self, kit: Kit, kept: Sequence[int] = ()) -> None:
        """Args:
        kept: cores of the kit's machine that a device measures on.
        """
        self.name = f"paretune-{kit.id}"
        self._kit = kit
        self._kept = kept
        self._versions = installed()

    def setup(self, worker: Worker) -> None:
        """Dask calls it when it has arrived on a worker; nothing is fetched before it is needed."""
        self._stack = ExitStack()
        self._scratch = Path(self._stack.enter_context(TemporaryDirectory(prefix="paretune-")))
        self._mine = threading.local()
        self._opening = threading.Lock()

    def teardown(self, worker: Worker) -> None:
        """Dask calls it when the worker ends."""
        self._stack.close()

    def open(self) -> None:
        """Fetch the kit, once per machine, and start the evaluators that need no device."""
        if hasattr(self._mine, "place"):
            return
        with self._opening:
            require_alike(self._versions, installed(), "this worker")
            self._keep_off()
            config, splits = unpack(self._kit)
            bench = Workbench.open(config, splits, first=True, only=needs_no_device)
            self._stack.callback(bench.close)
            self._kit.require_same(bench.identity)
            self._mine.place = Place(bench, bench.suite)
            self._mine.path = self._scratch / f"{threading.get_ident()}.onnx"

    def attempt(self, job: Job) -> Trial:
        """Build a policy, and measure what needs no device."""
        return attempt(self._mine.place, job, self._mine.path)

    def _keep_off(self) -> None:
        """Workers that were there before the search may run anywhere."""
        if self._kit.source.machine != machine_id():
            return
        mine = allowed_cores()
        left = without(mine, self._kept) or [core for core in mine if core not in self._kept]
        if not left:
            raise UserError("it may run only where a device of this search measures")
        keep_to(left)


def work(name: str, job: Job) -> Trial:
    """The Dask task: attempt a job on the workplace of that name.

    Raises:
        Refused: there is no workbench to be had on this worker, or its disk is full or the like.
        TransientError: not now.
    """
    worker = get_worker()
    place = worker.plugins[name]
    assert isinstance(place, Workplace)
    try:
        place.open()
    except TransientError:
        raise
    except Exception as error:
        kind = "" if isinstance(error, ParetuneError) else f"{type(error).__name__}: "
        raise Refused(worker.address, f"{kind}{error}") from error
    try:
        return place.attempt(job)
    except MachineError as error:
        raise Refused(worker.address, str(error)) from error
