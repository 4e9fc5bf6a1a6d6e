"""Jobs on real Dask workers, which live in this process."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client, LocalCluster, get_worker

from paretune.errors import TransientError, UserError
from paretune.search.attempt import Job
from paretune.search.cluster.cluster import Cluster
from paretune.search.cluster.work import Workplace
from paretune.search.cluster.workers import Workers
from paretune.search.trial import Trial, TrialStatus
from tests.search.cluster.commands import START_S, dask_scheduler, worker
from tests.search.cluster.waiting import until
from tests.search.racing import policies


class Threads:
    """A cluster of workers that are threads."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def slots(self) -> int:
        return sum(self.client.nthreads().values())


class Choosy(Workplace):
    """Only workers of these names take part; some policies fail.

    If there is a path, attempts wait there until a worker was refused.
    """

    def __init__(self, names: set[int], bad: Job | None = None, path: Path | None = None) -> None:
        self.name = "choosy"
        self._names = names
        self._bad = bad
        self._path = path

    def open(self) -> None:
        if get_worker().name not in self._names:
            if self._path is not None:
                self._path.touch()
            raise UserError("no module named 'mine'")

    def attempt(self, job: Job) -> Trial:
        if self._path is not None:
            until(self._path.exists)
        if self._bad is not None and job.policy == self._bad.policy:
            raise TransientError("the disk is full")
        where = str(get_worker().name)
        return Trial(-1, TrialStatus.COMPLETE, job.policy, artifact_sha256=where)


@pytest.fixture
def threads() -> Iterator[Threads]:
    with (
        LocalCluster(
            n_workers=3,
            threads_per_worker=1,
            processes=False,
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield Threads(client)


def test_jobs_run_on_all_that_can_take_part(threads: Threads, tmp_path: Path) -> None:
    said: list[str] = []
    choosy = Choosy({0, 2}, path=tmp_path / "refused")
    with Workers(threads, choosy, said.append) as workers:
        assert workers.slots() == 3
        jobs = [Job(policy) for policy in policies(12)]
        found = [workers.attempt(job) for job in jobs]
        trials = [future.result(30) for future in found]
    assert [trial.policy for trial in trials] == [job.policy for job in jobs]
    assert {trial.artifact_sha256 for trial in trials} <= {"0", "2"}
    (text,) = said
    assert text.endswith("cannot take part: no module named 'mine'")
    assert threads.slots() == 2


def test_where_none_can_take_part_the_reason_is_told(threads: Threads) -> None:
    said: list[str] = []
    with Workers(threads, Choosy(set()), said.append) as workers:
        future = workers.attempt(Job(policies(1)[0]))
        with pytest.raises(UserError, match="no worker can take part: no module named 'mine'"):
            future.result(30)
        assert workers.slots() == 0
        assert workers.slots() == 0
    assert said[-1] == "no worker is there, waiting"
    assert len(said) == 4


def test_errors_and_leaving(threads: Threads) -> None:
    first, second = (Job(policy) for policy in policies(2))
    with Workers(threads, Choosy({0, 1, 2}, bad=first), pytest.fail) as workers:
        assert workers.attempt(second).result(30).policy == second.policy
        with pytest.raises(TransientError, match="the disk is full"):
            workers.attempt(first).result(30)
    known = threads.client.run(lambda dask_worker: "choosy" in dask_worker.plugins)
    assert not any(known.values())


class Waiting(Workplace):
    """Attempts take until a file is there."""

    def __init__(self, path: Path) -> None:
        self.name = "waiting"
        self._path = path

    def attempt(self, job: Job) -> Trial:
        self._path.with_suffix(".begun").touch()
        while not self._path.exists():
            time.sleep(0.02)
        return Trial(-1, TrialStatus.COMPLETE, job.policy)


def test_a_scheduler_that_comes_back_is_asked_again(tmp_path: Path) -> None:
    said: list[str] = []
    go_on = tmp_path / "go-on"
    with (
        dask_scheduler(tmp_path) as (first, address),
        Client(address, set_as_default=False) as client,
        worker(address, "--processes", "1"),
    ):
        cluster = Cluster(client, "127.0.0.1")
        until(lambda: cluster.slots() == 1)
        with Workers(cluster, Waiting(go_on), said.append) as workers:
            future = workers.attempt(Job(policies(1)[0]))
            until(go_on.with_suffix(".begun").exists)
            first.kill()
            until(lambda: workers.slots() == 0)
            go_on.touch()
            port = int(address.rpartition(":")[2])
            with dask_scheduler(tmp_path, port), worker(address, "--processes", "1"):
                until(lambda: workers.slots() == 1)
                assert future.result(START_S).status is TrialStatus.COMPLETE
    assert said == ["no worker is there, waiting", "workers are there again"]
