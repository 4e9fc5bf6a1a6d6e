"""A scheduler with workers on this machine: real processes, which are killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from distributed import Client

from paretune.errors import UserError
from paretune.search.cluster import local_workers, scheduler
from paretune.search.cluster.address import ClusterSpec
from paretune.search.cluster.cluster import Cluster, open_cluster
from paretune.search.cluster.cluster_file import FILE, ClusterFile
from paretune.search.cluster.credentials import make_credentials, security
from paretune.search.cluster.local_workers import LocalWorkers
from paretune.search.cluster.scheduler import ask_scheduler, check_workers
from paretune.search.cluster.staff import Staff
from paretune.search.cluster.versions import installed
from tests.search.cluster.waiting import WAIT_S, runs, until


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[Cluster]:
    with open_cluster(ClusterSpec(processes=2), folder, reserved=0) as opened:
        yield opened
    assert not list(folder.glob("*.json"))
    assert not list(folder.glob(".*"))


def work(path: str = "") -> tuple[int, set[int]]:
    """Where it runs; waits for a file first, if there is to be one."""
    while path and not os.path.exists(path):  # noqa: PTH110 - it runs on a worker
        time.sleep(0.01)
    return os.getpid(), os.sched_getaffinity(0)


def process_ids(cluster: Cluster) -> dict[str, int]:
    """Of each worker."""
    found: dict[str, int] = cluster.client.run(os.getpid)
    return found


def supervisor_of(cluster: Cluster) -> psutil.Process:
    (worker, *_) = process_ids(cluster).values()
    parent = psutil.Process(worker).parent()
    assert parent is not None
    return parent


def listening(process: psutil.Process) -> set[str]:
    found = process.net_connections()
    return {place.laddr.ip for place in found if place.status == psutil.CONN_LISTEN}


def test_tasks_run_at_the_same_time_on_cores_of_their_own(cluster: Cluster) -> None:
    assert cluster.slots() == 2
    assert cluster.host == "127.0.0.1"
    places = cluster.client.run(work)
    cores = sorted(os.sched_getaffinity(0))
    shares = [where for _, where in places.values()]
    assert not shares[0] & shares[1]
    assert shares[0] | shares[1] <= set(cores)
    assert cluster.client.submit(work, pure=False).result() in places.values()


def test_nothing_is_to_be_seen_from_outside(cluster: Cluster, folder: Path) -> None:
    workers = [psutil.Process(number) for number in process_ids(cluster).values()]
    for process in (psutil.Process(), supervisor_of(cluster), *workers):
        assert listening(process) == {"127.0.0.1"}
        assert "PRIVATE KEY" not in " ".join(process.cmdline())
    private = [folder / FILE, *folder.glob(".*/staff.json")]
    assert [path.stat().st_mode & 0o777 for path in private] == [0o600, 0o600]
    assert not (folder / "workers.log").stat().st_size


def test_others_are_kept_out(cluster: Cluster, folder: Path) -> None:
    found = ClusterFile.read(folder)
    assert found is not None
    notice = ask_scheduler(found.scheduler, security(found.credentials))
    assert notice is not None
    assert notice.versions == installed()
    with pytest.raises(UserError, match="no Dask scheduler at tls://127.0.0.1"):
        ask_scheduler(found.scheduler, security(make_credentials()))
    with pytest.raises(UserError, match="tls://127.0.0.1:[0-9]+ needs certificates, which Dask's"):
        ask_scheduler(found.scheduler, security(None))


def test_other_versions_are_refused(
    cluster: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_workers(cluster.client)
    monkeypatch.setattr(scheduler, "installed", lambda: {**installed(), "onnx": "0"})
    message = r"the worker at tls://127.0.0.1:\d+ cannot work for .*: onnx [0-9.]+ instead of 0;"
    with pytest.raises(UserError, match=message):
        check_workers(cluster.client)
    found = ClusterFile.read(folder)
    assert found is not None
    ask_scheduler(found.scheduler, security(found.credentials))
    monkeypatch.setattr(scheduler, "installed", lambda: {**installed(), "distributed": "0"})
    with pytest.raises(UserError, match="the scheduler at tls://127.* cannot work for this search"):
        ask_scheduler(found.scheduler, security(found.credentials))


def test_a_killed_worker_is_replaced_and_its_task_done_elsewhere(
    cluster: Cluster, tmp_path: Path
) -> None:
    before = process_ids(cluster)
    task = cluster.client.submit(work, str(tmp_path / "go"), pure=False)
    until(lambda: any(cluster.client.processing().values()))
    (victim,) = [at for at, tasks in cluster.client.processing().items() if tasks]
    os.kill(before[victim], signal.SIGKILL)
    (other,) = before.keys() - {victim}
    until(lambda: bool(cluster.client.processing().get(other)))
    (tmp_path / "go").touch()
    assert task.result(WAIT_S)[0] == before[other]
    until(lambda: len(process_ids(cluster)) == 2)
    after = set(process_ids(cluster).values())
    assert before[other] in after
    assert before[victim] not in after


def test_a_killed_supervisor_is_replaced_with_its_workers(cluster: Cluster, tmp_path: Path) -> None:
    before = set(process_ids(cluster).values())
    task = cluster.client.submit(work, str(tmp_path / "go"), pure=False)
    until(lambda: any(cluster.client.processing().values()))
    supervisor_of(cluster).kill()
    until(lambda: not any(map(runs, before)))
    (tmp_path / "go").touch()
    # The scheduler may count those that have died for a while; whoever searches asks all the time.
    until(lambda: cluster.slots() == 2 and task.done())
    assert task.result(WAIT_S)[0] not in before


def test_workers_that_die_at_once_are_not_started_for_ever(tmp_path: Path) -> None:
    staff = Staff("tcp://127.0.0.1:9", ((0,),), str(tmp_path), credentials={"certificate": "bad"})
    with pytest.raises(UserError, match="the workers have ended: KeyError: 'key'"):
        LocalWorkers(staff, tmp_path / "log")


def test_a_supervisor_that_dies_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dead:
        alive = False
        begun = time.monotonic()

        def __init__(self, *_: object) -> None:
            started.append(self)

        def wait(self, event: str) -> None:
            assert event == "ready"

        def close(self) -> None:
            """Nothing runs."""

        def last_words(self) -> str:
            return "MemoryError"

    started: list[Dead] = []
    monkeypatch.setattr(local_workers, "Supervisor", Dead)
    staff = LocalWorkers(Staff("", (), ""), tmp_path / "workers.log")
    staff.look_after()
    staff.look_after()
    message = "the workers end as soon as they begin: MemoryError; see '.*workers.log'"
    with pytest.raises(UserError, match=message):
        staff.look_after()
    assert len(started) == 3


SCRIPT = """
import os
from pathlib import Path
from paretune.search.cluster.address import ClusterSpec
from paretune.search.cluster.cluster import open_cluster

with open_cluster(ClusterSpec(processes=1), Path.cwd(), reserved=0) as cluster:
    print(*cluster.client.run(os.getpid).values(), flush=True)
    input()
"""


@pytest.mark.parametrize("killed", [False, True])
def test_workers_end_with_the_script_that_started_them(tmp_path: Path, killed: bool) -> None:
    """Which needs no `if __name__ == "__main__"`, and says nothing that it was not told to."""
    (tmp_path / "script.py").write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, "-W", "error", "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as script:
        assert script.stdout is not None
        worker = int(script.stdout.readline())
        family = [worker, os.getsid(worker)]
        # Ctrl-C in the terminal is for the script alone.
        assert os.getsid(worker) != os.getsid(script.pid)
        if killed:
            script.kill()
        assert script.communicate("\n") == ("", "")
    until(lambda: not any(map(runs, family)))
    left = {path.name for path in tmp_path.iterdir()} - {"script.py"}
    assert (FILE in left) is killed
    assert killed or not left


def test_a_client_is_nobodys_default(cluster: Cluster) -> None:
    with pytest.raises(ValueError, match="No clients found"):
        Client.current()
