"""A study in a real PostgreSQL server that is stopped, restarted and shared."""

import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import psycopg
import pytest

from experiments.benchmarks.postgresql import Server
from paretune.errors import UserError
from paretune.search.location import LOCATION, settle
from paretune.search.lock import StudyLock
from paretune.search.postgresql import commands, link
from paretune.search.storage_url import StorageUrl
from paretune.search.store import StudyStore
from paretune.search.trial import TrialStatus
from paretune.spaces import Policy
from tests.search.fake import figures, make_info
from tests.search.test_store import FP32, INT8, TRIALS, complete


@pytest.fixture
def url(postgresql: Server) -> StorageUrl:
    return StorageUrl.parse(postgresql.fresh())


@pytest.fixture
def machine(tmp_path: Path, url: StorageUrl) -> Callable[[str], Path]:
    """Makes the output folder of a machine, by the machine's name."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        settle(folder, url, "fake", folder)
        return folder

    return make


def test_optuna_reads_the_database(machine: Callable[[str], Path], url: StorageUrl) -> None:
    with StudyStore.create(machine("a"), make_info()) as store:
        for trial in TRIALS:
            store.record(trial, {"generation": 3})
    storage = optuna.storages.RDBStorage(url.full.replace("postgresql:", "postgresql+psycopg:"))
    try:
        study = optuna.load_study(study_name="fake", storage=storage)
        assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE"]
        states = [trial.state.name for trial in study.trials]
        assert states == ["COMPLETE", "PRUNED", "FAIL", "COMPLETE"]
        best = study.trials[0]
        assert best.values == [figures(FP32)["accuracy"].value, figures(FP32)["latency_ms"].value]
        assert best.system_attrs["generation"] == 3
        assert Policy.from_json(best.user_attrs["policy"]) == FP32
        assert best.datetime_complete is not None
        assert study.user_attrs["paretune"]["name"] == "fake"
        # And it writes there: ours comes after its own.
        study.add_trial(optuna.create_trial(values=[0.0, 0.0]))
    finally:
        storage.engine.dispose()
    with StudyStore.open(machine("b"), writable=True) as store:
        assert store.record(complete()).number == len(TRIALS) + 1


def test_a_trial_is_one_command(
    machine: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with StudyStore.create(machine("a"), make_info()) as store:
        store.record(complete())
        run = _spied(monkeypatch)
        store.record(complete(INT8))
    assert run == [commands.APPEND]


def test_many_studies_share_a_database(tmp_path: Path, url: StorageUrl) -> None:
    stores = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        settle(tmp_path / name, url, name, tmp_path)
        stores.append(StudyStore.create(tmp_path / name, replace(make_info(), name=name)))
    one, two = stores
    with one, two:
        numbers = [store.record(complete()).number for store in (one, two, one, two, two)]
        two.set_confirmed(0, figures(FP32))
    assert numbers == [0, 0, 1, 1, 2]
    assert [len(store.trials()) for store in stores] == [2, 3]
    assert [bool(store.trials()[0].confirmed) for store in stores] == [False, True]


def test_another_machine_goes_on(machine: Callable[[str], Path]) -> None:
    here, there = machine("a"), machine("b")
    with StudyStore.create(here, make_info(), base=here) as store:
        first = store.record(complete())
    with StudyStore.open(there, writable=True) as store:
        assert store.trials() == [first]
        assert (store.base, store.cwd) == (there, Path.cwd())
        second = store.record(complete(INT8))
    assert StudyStore.open(here).trials() == [first, second]
    assert StudyStore.open(here).base == here


def test_a_study_is_created_whole_or_not_at_all(
    machine: Callable[[str], Path], url: StorageUrl, postgresql: Server
) -> None:
    folder = machine("a")
    StudyLock(folder).close()
    database = url.full.rpartition("/")[2]
    table = "ALTER TABLE study_user_attributes"
    postgresql.execute(f"{table} ADD CONSTRAINT broken CHECK (key <> 'paretune')", database)
    with pytest.raises(psycopg.errors.CheckViolation):
        StudyStore.create(folder, make_info())
    assert postgresql.execute("SELECT * FROM studies", database) == []
    postgresql.execute(f"{table} DROP CONSTRAINT broken", database)
    StudyStore.create(folder, make_info()).close()
    assert StudyStore.open(folder).info == make_info()


def test_a_study_that_optuna_made(
    machine: Callable[[str], Path], url: StorageUrl, postgresql: Server
) -> None:
    folder = machine("a")
    StudyLock(folder).close()
    database = url.full.rpartition("/")[2]
    postgresql.execute("INSERT INTO studies (study_name) VALUES ('fake')", database)
    with pytest.raises(UserError, match="it is an Optuna study, but not one that Paretune wrote"):
        StudyStore.open(folder)
    with pytest.raises(UserError, match="holds a study already"):
        StudyStore.create(folder, make_info())


def test_two_machines_do_not_write_to_one_study(machine: Callable[[str], Path]) -> None:
    here, there = machine("a"), machine("b")
    me = f"process {os.getpid()} on {socket.gethostname()}"[:40]
    with StudyStore.create(here, make_info()):
        with pytest.raises(UserError, match=rf"working on the study 'fake' in postgr.*\({me}"):
            StudyStore.open(there, writable=True)
        assert StudyStore.open(there).trials() == []
    StudyStore.open(there, writable=True).close()


def test_a_killed_search_frees_the_study(machine: Callable[[str], Path]) -> None:
    here, there = machine("a"), machine("b")
    script = f"""
        from pathlib import Path
        from paretune.search.store import StudyStore
        from tests.search.fake import make_info

        store = StudyStore.create(Path({str(there)!r}), make_info())
        print("claimed", flush=True)
        input()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "claimed\n"
        with pytest.raises(UserError, match=rf"\(process {child.pid} on "):
            StudyStore.open(here, writable=True)
        os.kill(child.pid, signal.SIGKILL)
    StudyStore.open(here, writable=True).close()


def test_the_database_goes_away_and_comes_back(
    machine: Callable[[str], Path],
    postgresql: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with StudyStore.create(machine("a"), make_info()) as store, caplog.at_level(logging.WARNING):
        first = store.record(complete())
        pauses = _restarting(postgresql, monkeypatch, after=3)
        postgresql.stop()
        second = store.record(complete(INT8))
        pauses.clear()
        postgresql.stop()
        store.set_confirmed(1, figures(INT8))
        pauses.clear()
        postgresql.stop()
        notes = store.sampler_attrs()
        trials = store.trials()
    assert not any(notes.values())
    assert [trial.number for trial in trials] == [first.number, second.number] == [0, 1]
    assert trials[1].confirmed == figures(INT8)
    told = [record.message for record in caplog.records]
    assert len(told) == 6
    assert "does not answer; waiting" in told[0]
    assert told[1] == "the database answers again"
    assert pauses == [0.2, 0.4, 0.8]


def test_waiting_has_an_end(
    machine: Callable[[str], Path], postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = machine("a")
    with StudyStore.create(folder, make_info()) as store:
        store.record(complete())
        monkeypatch.setattr(link, "PATIENCE", 0.0)
        postgresql.stop()
        try:
            with pytest.raises(UserError, match=r"has not answered .* the same command goes on"):
                store.record(complete(INT8))
            with pytest.raises(UserError, match="cannot be used: .*refused"):
                StudyStore.open(folder)
        finally:
            postgresql.start()
    with StudyStore.open(folder, writable=True) as store:
        assert store.record(complete(INT8)).number == 1


def test_somebody_else_took_the_study_while_the_database_was_away(
    machine: Callable[[str], Path], postgresql: Server
) -> None:
    here, there = machine("a"), machine("b")
    with StudyStore.create(here, make_info()) as store:
        postgresql.stop()
        postgresql.start()
        with StudyStore.open(there, writable=True) as other:
            with pytest.raises(UserError, match="another search is working on the study 'fake'"):
                store.record(complete())
            assert other.record(complete()).number == 0
        assert store.record(complete(INT8)).number == 1


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "unnoticed"])
def test_a_trial_whose_answer_was_lost_is_not_written_twice(
    machine: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, noticed: bool
) -> None:
    """The server may not know yet that the connection is gone, and still keep our own claim."""
    with StudyStore.create(machine("a"), make_info()) as store:
        store.record(complete())
        execute = psycopg.Connection.execute
        lost: list[psycopg.Connection] = []

        def losing(connection: Any, command: Any, *rest: Any) -> Any:
            answer = execute(connection, command, *rest)
            if command == commands.APPEND and not lost:
                lost.append(connection)
                if not noticed:
                    monkeypatch.setattr(link.Link, "_drop", _forget)
                raise psycopg.OperationalError("the network is gone")
            return answer

        monkeypatch.setattr(psycopg.Connection, "execute", losing)
        assert store.record(complete(INT8)).number == 1
        assert len(lost) == 1
        assert store.record(ended := complete()).number == 2
        assert [trial.policy for trial in store.trials()] == [FP32, INT8, ended.policy]
        monkeypatch.undo()
        lost[0].close()


def test_a_wrong_password(
    tmp_path: Path, postgresql: Server, caplog: pytest.LogCaptureFixture
) -> None:
    postgresql.execute("CREATE DATABASE guarded")
    postgresql.execute("CREATE ROLE keeper LOGIN PASSWORD 'right-one'")
    postgresql.execute("GRANT ALL ON SCHEMA public TO keeper", "guarded")
    right = StorageUrl(f"postgresql://keeper:right-one@127.0.0.1:{postgresql.port}/guarded")
    wrong = StorageUrl(right.full.replace("right", "wrong"))
    with pytest.raises(UserError, match=r"keeper:\*\*\*@.* authentication failed for") as caught:
        settle(tmp_path, wrong, "fake", tmp_path)
    assert "wrong-one" not in str(caught.value)
    settle(tmp_path, right, "fake", tmp_path)
    with StudyStore.create(tmp_path, make_info()) as store:
        assert store.record(complete()).status is TrialStatus.COMPLETE
    shown = [path.name for path in tmp_path.iterdir() if b"right-one" in path.read_bytes()]
    assert shown == [LOCATION]


def test_a_database_that_we_may_not_write(tmp_path: Path, postgresql: Server) -> None:
    database = postgresql.fresh()
    postgresql.execute("CREATE ROLE visitor LOGIN")
    url = StorageUrl(database.replace("paretune@", "visitor@"))
    settle(tmp_path, url, "fake", tmp_path)
    with pytest.raises(UserError, match="cannot be used: permission denied for schema public"):
        StudyStore.create(tmp_path, make_info())


def test_tables_of_another_optuna(
    machine: Callable[[str], Path], url: StorageUrl, postgresql: Server
) -> None:
    folder = machine("a")
    StudyStore.create(folder, make_info()).close()
    database = url.full.rpartition("/")[2]
    postgresql.execute("UPDATE alembic_version SET version_num = 'v0.9.0.a'", database)
    with pytest.raises(UserError, match="optuna storage upgrade"):
        StudyStore.open(folder, writable=True)


def test_no_such_database(tmp_path: Path, postgresql: Server) -> None:
    with pytest.raises(UserError, match='database "missing" does not exist'):
        settle(tmp_path, StorageUrl(postgresql.url("missing")), "fake", tmp_path)


def test_libpq_refuses_the_url(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read the storage .*\*\*\*@") as caught:
        settle(tmp_path, StorageUrl.parse("postgresql://me:sec%ret@host/x"), "fake", tmp_path)
    assert "sec%ret" not in str(caught.value)


def _spied(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The commands that run from here on."""
    run: list[object] = []
    execute = psycopg.Connection.execute

    def spying(connection: Any, command: Any, *rest: Any) -> Any:
        run.append(command)
        return execute(connection, command, *rest)

    monkeypatch.setattr(psycopg.Connection, "execute", spying)
    return run


def _restarting(server: Server, monkeypatch: pytest.MonkeyPatch, after: int) -> list[float]:
    """Start the server when somebody has waited for it so many times; the pauses so far."""
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == after:
            server.start()

    monkeypatch.setattr(link, "sleep", pause)
    return pauses


def _forget(broken: Any) -> None:
    """As `Link._drop`, but the connection stays open."""
    broken._connection = None
