"""Opening a cluster: connecting to a scheduler, or starting one with workers."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dask.system import CPU_COUNT
from distributed import Client
from distributed.deploy.spec import SpecCluster
from distributed.utils import get_ip
from distributed.versions import VersionMismatchWarning

from paretune.files import scratch_folder
from paretune.search.cluster.address import split_address
from paretune.search.cluster.cluster import PATIENCE_S, Cluster
from paretune.search.cluster.cluster_file import ClusterFile
from paretune.search.cluster.cores import allowed_cores, running_on, share_cores, split_cores
from paretune.search.cluster.credentials import make_credentials, security
from paretune.search.cluster.local_workers import LocalWorkers
from paretune.search.cluster.scheduler import (
    announced,
    ask_scheduler,
    check_workers,
    own_scheduler,
)
from paretune.search.cluster.staff import Staff

LOG = "workers.log"
"""File in a study's folder: what workers on this machine printed."""

_CLOSE_S = 5.0


@contextmanager
def connected(address: str, output: Path, reserved: int) -> Iterator[Cluster]:
    """Use a scheduler that exists. See `open_cluster`.

    Args:
        address: of the scheduler.
    """
    ask_scheduler(address, security(None))
    left, kept = split_cores(allowed_cores(), reserved)
    with _client(address, left) as client:
        check_workers(client)
        with announced(client, kept), ClusterFile.here(address, None).published(output):
            yield Cluster(client, get_ip(*split_address(address)))


@contextmanager
def started(processes: int | None, output: Path, reserved: int) -> Iterator[Cluster]:
    """Start a scheduler in this process, and workers. See `open_cluster`.

    Args:
        processes: how many workers; None for one on each core that is left.
    """
    left, kept = split_cores(allowed_cores(), reserved)
    # A container may have less time than cores.
    usual = left[: max(CPU_COUNT - len(kept), 1)]
    cores = share_cores(usual if processes is None else left, processes, kept)
    credentials = make_credentials()
    with (
        scratch_folder(output, "workers") as folder,
        own_scheduler(security(credentials), left) as scheduler,
        _client(scheduler, left) as client,
        announced(client, kept),
    ):
        address = scheduler.scheduler_address
        staff = Staff(address, cores, str(folder), credentials=credentials)
        with (
            LocalWorkers(staff, output / LOG) as workers,
            ClusterFile.here(address, credentials).published(output),
        ):
            yield Cluster(client, "127.0.0.1", workers.look_after)


@contextmanager
def _client(where: str | SpecCluster, cores: tuple[int, ...]) -> Iterator[Client]:
    with running_on(cores), warnings.catch_warnings():
        # What has to be alike is compared, and Dask minds more.
        warnings.simplefilter("ignore", VersionMismatchWarning)
        client = Client(where, timeout=PATIENCE_S, set_as_default=False)
    try:
        yield client
    finally:
        client.close(timeout=_CLOSE_S)
