"""The servers of a night on a cluster, all on the loopback."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from experiments.benchmarks import postgresql
from experiments.benchmarks.dask_scheduler import Scheduler
from experiments.benchmarks.mlflow_server import MlflowServer


@dataclass(frozen=True)
class Servers:
    """What a night needs.

    Attributes:
        address: of the scheduler.
    """

    postgresql: postgresql.Server
    mlflow: MlflowServer
    scheduler: Scheduler
    address: str


@contextmanager
def running_servers(folder: Path) -> Iterator[Servers]:
    """Start them, MLflow excepted, which takes long; in the end none is left.

    Args:
        folder: for their files.
    """
    with (
        Scheduler(folder) as scheduler,
        MlflowServer(folder / "mlflow") as mlflow,
        postgresql.running_server() as database,
    ):
        yield Servers(database, mlflow, scheduler, scheduler.address())
