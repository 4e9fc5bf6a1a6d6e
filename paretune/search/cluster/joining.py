"""Joining a search with the cores of this machine."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from paretune.errors import UserError
from paretune.evaluators.measuring.conditions import machine_id
from paretune.search.cluster.address import is_address, parse_address
from paretune.search.cluster.cluster_file import ClusterFile
from paretune.search.cluster.cores import allowed_cores, share_cores, without
from paretune.search.cluster.extra import require_dask
from paretune.search.cluster.staff import GONE, Staff, Supervisor
from paretune.search.cluster.versions import installed, require_alike
from paretune.search.config import load_config
from paretune.search.lock import holder

_HOW = (
    "`paretune search CONFIG --cluster local:2` for workers on its own machine, `--cluster"
    " tcp://host:8786` for those of a Dask scheduler, which other machines can join"
)


def join(place: str, processes: int | None, name: str | None, tell: Callable[[str], None]) -> None:
    """Work for a search until its scheduler has gone, or sends the workers away.

    Args:
        place: the folder of a study, the config file that made it, or the address of a scheduler.
        processes: how many workers, each on cores of its own; None for one on each core.
        name: begins the names of the workers, by which Dask knows them.
        tell: is told when the work begins, and why it ends.

    Raises:
        UserError: there is nothing to join, this machine has other versions or too few cores, or
            the extra `cluster` is not installed.
    """
    require_dask()
    from paretune.search.cluster.credentials import security
    from paretune.search.cluster.scheduler import ask_scheduler

    found = find_scheduler(place)
    notice = ask_scheduler(found.scheduler, security(found.credentials))
    cores = allowed_cores()
    kept: tuple[int, ...] = ()
    if notice is not None:
        require_alike(notice.versions, installed(), "this machine")
        kept = notice.kept if notice.machine == machine_id() else ()
    shares = share_cores(without(cores, kept), processes, kept)
    with TemporaryDirectory(prefix="paretune-workers-") as folder:
        staff = Staff(found.scheduler, shares, folder, name, found.credentials)
        with Supervisor(staff, Path(folder) / "workers.log") as supervisor:
            supervisor.wait("ready")
            many = f"{len(shares)} worker{'s' * (len(shares) > 1)}"
            tell(f"{many} at {found.scheduler}; end with Ctrl-C")
            reason = supervisor.wait("left")
    if reason in GONE:
        tell(f"the scheduler at {found.scheduler} has gone; the same command joins the next one")
    else:
        tell(f"the search has sent the workers away ({reason}); it tells why")


def find_scheduler(place: str) -> ClusterFile:
    """Where to work.

    Raises:
        UserError: no search runs there, or it runs without a cluster that one can join.
    """
    if is_address(place):
        return ClusterFile.here(parse_address(place), None)
    path = Path(place)
    folder = load_config(path).output if path.suffix in (".yaml", ".yml") else path
    if not folder.is_dir():
        raise UserError(
            f"no study in '{place}'; allowed are the folder of a search that runs, its config file,"
            " or the address of a Dask scheduler: tcp://host:port or tls://host:port"
        )
    found = ClusterFile.read(folder)
    who = holder(folder)
    if found is None and who is not None:
        raise UserError(
            f"the search in '{folder}' ({who}) has no cluster: it is just starting, or runs without"
            f" one; then stop it with Ctrl-C and go on with {_HOW}"
        )
    # A search that was killed leaves its file. Locks of other machines are not always seen.
    if found is None or (who is None and found.on_this_machine):
        raise UserError(f"no search is running in '{folder}'; start it with {_HOW}, then join it")
    if found.credentials is not None and not found.on_this_machine:
        raise UserError(
            f"the search in '{folder}' has workers on its own machine only, {found.host}; stop it"
            f" with Ctrl-C and go on with {_HOW}"
        )
    return found
