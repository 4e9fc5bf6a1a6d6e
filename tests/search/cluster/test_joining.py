"""A Dask scheduler that exists: a search uses it, workers join it and leave it."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
import yaml

from paretune.errors import UserError
from paretune.evaluators.measuring.conditions import machine_id
from paretune.search.cluster import opening, scheduler
from paretune.search.cluster.address import ClusterSpec
from paretune.search.cluster.cluster import open_cluster
from paretune.search.cluster.cluster_file import FILE, ClusterFile
from paretune.search.cluster.cores import allowed_cores
from paretune.search.cluster.credentials import make_credentials, security
from paretune.search.cluster.joining import find_scheduler, join
from paretune.search.cluster.scheduler import SearchNotice, ask_scheduler
from paretune.search.cluster.versions import installed
from paretune.search.lock import StudyLock
from tests.search.cluster.commands import START_S, dask_scheduler, rest, worker
from tests.search.cluster.waiting import until


def here() -> int:
    return os.getpid()


def test_workers_join_and_leave_and_end_with_the_scheduler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "PATIENCE_S", 1.0)
    with (
        dask_scheduler(tmp_path) as (dask, address),
        closing(StudyLock(tmp_path)),
        open_cluster(ClusterSpec(address), tmp_path, reserved=1) as opened,
    ):
        assert (opened.slots(), opened.host) == (0, "127.0.0.1")
        task = opened.client.submit(here, pure=False)
        with worker(str(tmp_path), "--processes", "1", "--name", "board") as (joined, said):
            assert said == f"1 worker at {address}; end with Ctrl-C"
            until(lambda: opened.slots() == 1)
            (ours,) = opened.client.scheduler_info()["workers"].values()
            assert ours["id"] == "board-0"
            number = task.result(START_S)
            # A device of the search measures on the last one.
            assert max(os.sched_getaffinity(0)) not in os.sched_getaffinity(number)
            joined.send_signal(signal.SIGINT)
            assert rest(joined) == "the workers have left; others go on with their work"
            assert not psutil.pid_exists(number)
        until(lambda: opened.slots() == 0)

        with worker(address, "--processes", "1") as (joined, said):
            until(lambda: opened.slots() == 1)
            dask.kill()
            assert rest(joined) == (
                f"the scheduler at {address} has gone; the same command joins the next one"
            )
        until(lambda: opened.client.status == "closed")
        opened._counted_at = 0.0
        with pytest.raises(UserError, match="scheduler has gone, and did not come back"):
            opened.slots()
    assert not (tmp_path / FILE).exists()


@contextmanager
def listener(answer: bytes | None) -> Iterator[str]:
    """Something that is no scheduler; None says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        known: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                known.append(connection)
                if answer is not None:
                    connection.sendall(answer)
                    connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in known:
                connection.close()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "nothing answers within 0.5 s; start one with `dask scheduler`"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no Dask scheduler at tcp://127.0.0.1:"),
        (b"", "no Dask scheduler at tcp://127.0.0.1:"),
    ],
)
def test_what_is_no_scheduler(
    answer: bytes | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "CONNECT_S", 0.5)
    with listener(answer) as address, pytest.raises(UserError, match=message):
        ask_scheduler(address, security(None))


def test_no_scheduler_is_soon_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "CONNECT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    spec = ClusterSpec(f"tcp://127.0.0.1:{port}")
    opened = open_cluster(spec, tmp_path, reserved=0)
    message = rf"no Dask scheduler at {spec}: .*(refused|Timed out).*; start one with"
    with pytest.raises(UserError, match=message), opened:
        pass
    with pytest.raises(UserError, match=f"^tls://127.0.0.1:{port} needs certificates"):
        ask_scheduler(f"tls://127.0.0.1:{port}", security(None))
    with pytest.raises(UserError, match="no Dask scheduler at tcp://nosuch.invalid:1: "):
        ask_scheduler("tcp://nosuch.invalid:1", security(None))
    assert not list(tmp_path.iterdir())


def test_a_machine_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine_id()
    others = {**installed(), "onnxruntime": "0"}
    cores = allowed_cores()
    for notice, processes, message in (
        (SearchNotice(here, (), others), 1, "this machine cannot work for this search, .*nx"),
        (SearchNotice(here, cores), 1, "1 worker cannot run here.* has 0 for workers, beside"),
        (SearchNotice("far", cores), len(cores) + 1, f"allowed here: at most {len(cores)}$"),
        (None, len(cores) + 1, f"allowed here: at most {len(cores)}$"),
    ):
        monkeypatch.setattr(scheduler, "ask_scheduler", lambda *_, told=notice: told)
        with pytest.raises(UserError, match=message):
            join("tcp://127.0.0.1:1", processes, None, print)


def test_a_search_without_a_cluster_is_not_joined(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no search is running in .*--cluster local:2"):
        find_scheduler(str(tmp_path))
    message = rf"\(process {os.getpid()} on .*\) has no cluster: it is just starting"
    with closing(StudyLock(tmp_path)), pytest.raises(UserError, match=message):
        find_scheduler(str(tmp_path))


def test_what_a_killed_search_left_is_not_joined(tmp_path: Path) -> None:
    with ClusterFile.here("tcp://127.0.0.1:1", None).published(tmp_path):
        with pytest.raises(UserError, match="no search is running in"):
            find_scheduler(str(tmp_path))
        with closing(StudyLock(tmp_path)):
            assert find_scheduler(str(tmp_path)).scheduler == "tcp://127.0.0.1:1"


def test_a_search_on_another_machine(tmp_path: Path) -> None:
    far = ClusterFile("tcp://far:1", None, "another", "far")
    with far.published(tmp_path):
        assert find_scheduler(str(tmp_path)) == far
    alone = ClusterFile("tls://127.0.0.1:1", make_credentials(), "another", "far")
    with (
        alone.published(tmp_path),
        pytest.raises(UserError, match="has workers on its own machine only, far; .*tcp://host"),
    ):
        find_scheduler(str(tmp_path))


def test_a_study_is_found_by_its_config(tmp_path: Path) -> None:
    config = {"model": "m.onnx", "data": "d:d", "objectives": ["accuracy"]}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({**config, "output": str(tmp_path / "out")}))
    with pytest.raises(UserError, match="no study in '.*c.yaml'; allowed are the folder of"):
        find_scheduler(str(tmp_path / "c.yaml"))
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="no search is running in '.*out'"):
        find_scheduler(str(tmp_path / "c.yaml"))


@pytest.mark.parametrize("text", ["tcp://", "tls://server", "tcp://server:8786/x"])
def test_an_address_is_checked(text: str) -> None:
    with pytest.raises(UserError, match=f"cannot read the cluster '{text}'"):
        find_scheduler(text)


def test_the_extra_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    opened = open_cluster(ClusterSpec(), tmp_path, reserved=0)
    message = r"a cluster needs the extra 'cluster' .*: pip install 'paretune\[cluster\]'"
    with pytest.raises(UserError, match=message), opened:
        pass
