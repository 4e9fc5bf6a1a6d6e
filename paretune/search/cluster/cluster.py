"""The cluster of a search: workers that exist, or that are started on this machine."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from paretune.errors import UserError
from paretune.search.cluster.address import ClusterSpec
from paretune.search.cluster.extra import dask_says_only, require_dask

if TYPE_CHECKING:
    from distributed import Client

PATIENCE_S = 60.0
"""To wait for a scheduler that has gone in the middle of a search."""

_FRESH_S = 1.0


class Cluster:
    """Workers that one can compute on. Use `open_cluster`.

    Attributes:
        client: of the scheduler.
        host: the address under which workers reach this process.
    """

    def __init__(
        self, client: "Client", host: str, look_after: Callable[[], None] = lambda: None
    ) -> None:
        """Args:
        look_after: is called about once a second, to see that the workers are well.
        """
        self.client = client
        self.host = host
        self._look_after = look_after
        self._lock = threading.Lock()
        self._counted_at = -_FRESH_S
        self._slots = 0

    def slots(self) -> int:
        """How many tasks can run at the same time, as of a second ago; workers come and go.

        Raises:
            UserError: there will be none any more: the scheduler has gone, or the workers cannot
                be started again.
        """
        with self._lock:
            if time.monotonic() - self._counted_at >= _FRESH_S:
                self._look_after()
                self._slots = self._count()
                self._counted_at = time.monotonic()
            return self._slots

    def _count(self) -> int:
        if self.client.status == "closed":
            raise UserError(
                "the Dask scheduler has gone, and did not come back within"
                f" {PATIENCE_S:g} s; start it again, then the same command goes on"
            )
        if self.client.status != "running":
            return 0
        return int(self.client.scheduler_info(n_workers=0)["total_threads"])


@contextmanager
def open_cluster(spec: ClusterSpec, output: Path, *, reserved: int) -> Iterator[Cluster]:
    """Connect to a scheduler that exists, or start one on this machine, with workers.

    Workers on this machine are all there when it returns; those of a scheduler that exists may
    come at any time. Meanwhile `paretune worker` finds it by a file in the study's folder.

    Args:
        output: the study's folder; exists.
        reserved: cores of this machine that a device measures on; workers keep off them.

    Raises:
        UserError: no scheduler is there, it or a worker has other versions, there are too few cores
            for so many workers, or the extra `cluster` is not installed.
    """
    require_dask()
    from paretune.search.cluster.opening import connected, started

    with dask_says_only(logging.ERROR):
        if spec.scheduler is None:
            opened = started(spec.processes, output, reserved)
        else:
            opened = connected(spec.scheduler, output, reserved)
        with opened as cluster:
            try:
                yield cluster
            finally:
                # What its parts say when they end one after the other is no trouble.
                logging.getLogger("distributed").setLevel(logging.CRITICAL)
