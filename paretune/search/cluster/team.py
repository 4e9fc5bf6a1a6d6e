"""The team of a search: workers for the answers, a lane for every device."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from paretune.search.cluster.address import ClusterSpec
from paretune.search.cluster.bench import TeamBench
from paretune.search.cluster.cluster import open_cluster
from paretune.search.cluster.cores import allowed_cores, running_on, split_cores
from paretune.search.cluster.crew import ClusterCrew
from paretune.search.cluster.kit import pack
from paretune.search.cluster.lanes import Lane
from paretune.search.cluster.serving import FileServer
from paretune.search.cluster.work import KitWorkplace
from paretune.search.cluster.workers import Workers
from paretune.search.workbench import Workbench


@contextmanager
def open_team(
    spec: ClusterSpec, bench: Workbench, lanes: Sequence[Lane], warn: Callable[[str], None]
) -> Iterator[tuple[ClusterCrew, TeamBench]]:
    """Open the cluster, and give its workers what they need.

    Returns:
        who attempts the policies, and who measures the front once more.

    Args:
        bench: what workers copy. All that policies are assembled from is best compressed by now.
        warn: is told of workers that cannot take part, and when none is there.

    Raises:
        UserError: see `open_cluster`.
    """
    output, reserved = bench.config.output, _reserved(bench)
    left, kept = split_cores(allowed_cores(), reserved)
    with (
        open_cluster(spec, output, reserved=reserved) as cluster,
        # The sampler thinks while a device measures.
        running_on(left),
        FileServer(cluster.host) as server,
        Workers(cluster, KitWorkplace(pack(bench, server), kept), warn) as workers,
    ):
        yield ClusterCrew(bench.info, workers, lanes), TeamBench(bench, lanes, workers)


def _reserved(bench: Workbench) -> int:
    """Cores of this machine that latencies are measured on; its devices take turns."""
    if not any(metric.per_device for metric in bench.info.metrics):
        return 0
    setups = [spec.setup for spec in bench.config.device_specs if spec.type == "local"]
    return max((len(setup.cpus or ()) or setup.threads for setup in setups), default=0)
