"""The store: what is written is read back, by whom it may be, and after what accidents."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import optuna
import pytest

from experiments.benchmarks.postgresql import Server
from paretune.errors import UserError
from paretune.evaluators import Measurement
from paretune.search.constraint import Constraint
from paretune.search.journal import JOURNAL
from paretune.search.location import find_ledger, settle
from paretune.search.storage_url import StorageUrl
from paretune.search.store import StudyStore, require_writable
from paretune.search.trial import Trial, TrialStatus
from paretune.spaces import Choice, Policy
from tests.search.fake import figures, make_info


@pytest.fixture(params=["journal", "postgresql"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a study may begin, whose records are in the folder or in a database."""
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgresql")
        settle(tmp_path, StorageUrl.parse(server.fresh()), "fake", tmp_path)
    return tmp_path


FP32 = Policy.of({"a": Choice.parse("fp32"), "b": Choice.parse("fp32+2:4")})
INT8 = Policy.of({"a": Choice.parse("int8"), "b": Choice.parse("int8+channel:0.25")})


def complete(policy: Policy = FP32) -> Trial:
    return Trial(
        number=-1,
        status=TrialStatus.COMPLETE,
        policy=policy,
        measurements=figures(policy),
        artifact_sha256="f" * 64,
        seconds={"apply": 0.25, "accuracy": 0.5},
        finished_at=1.75e9,
    )


def ended(status: TrialStatus, reason: str) -> Trial:
    return Trial(-1, status, INT8, reason=reason, seconds={"apply": 0.1}, finished_at=1.75e9)


TRIALS = [
    complete(),
    ended(TrialStatus.INFEASIBLE, "block size does not fit"),
    ended(TrialStatus.FAILED, "ValueError: \n“odd”"),
    complete(INT8),
]


def test_trials_are_read_back_as_written(folder: Path) -> None:
    with StudyStore.create(folder, make_info()) as store:
        written = [store.record(trial) for trial in TRIALS]
        assert store.trials() == written
    assert [trial.number for trial in written] == [0, 1, 2, 3]
    assert [replace(trial, number=-1) for trial in written] == TRIALS
    assert StudyStore.open(folder).trials() == written


def test_the_info_is_read_back_as_written(folder: Path) -> None:
    info = make_info((Constraint("accuracy", ">=", 0.5),))
    StudyStore.create(folder, info).close()
    assert StudyStore.open(folder).info == info


def test_confirmed_and_test_figures_join_their_trial(folder: Path) -> None:
    confirmed = {**figures(INT8), "accuracy": Measurement(0.9)}
    tested = {**figures(INT8, "test"), "accuracy": Measurement(0.8, 0.7, 0.9)}
    with StudyStore.create(folder, make_info()) as store:
        store.record(complete())
        store.record(complete(INT8))
        store.set_confirmed(1, confirmed)
        store.set_test(1, tested)
        assert store.searched_trials()[1].confirmed == {}
    first, second = StudyStore.open(folder).trials()
    assert (first.confirmed, first.test) == ({}, {})
    assert (second.confirmed, second.test) == (confirmed, tested)


def test_whoever_asks_gets_the_same(folder: Path) -> None:
    """The writer, one who has been reading all along, and one who has just begun to read."""
    info = make_info((Constraint("latency_ms", "<=", 2.4),))
    rng = np.random.default_rng(0)
    with StudyStore.create(folder, info) as store:
        reader = StudyStore.open(folder)
        for step in range(25):
            count = len(store.trials())
            if count < 2 or rng.random() < 0.5:
                store.record(TRIALS[rng.integers(len(TRIALS))])
            else:
                number = int(rng.choice([t.number for t in store.trials() if t.measurements]))
                value = float(rng.uniform(1.0, 4.0))
                measured = {**figures(FP32), "latency_ms": Measurement(value, samples={"a": [1]})}
                write = store.set_confirmed if rng.random() < 0.7 else store.set_test
                assert write(number, measured) == store.trials()[number]
            fresh = StudyStore.open(folder)
            assert store.trials() == fresh.trials()
            assert store.searched_trials() == fresh.searched_trials()
            if step % 3 == 0:
                assert reader.trials() == fresh.trials()
                assert reader.searched_trials() == fresh.searched_trials()
    assert store.trials() == fresh.trials()


def test_who_writes_reads_nothing_twice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    StudyStore.create(folder, make_info()).close()
    with StudyStore.open(folder, writable=True) as store:
        for trial in TRIALS:
            store.record(trial)
        before = store.trials()
        for name in ("trials", "attrs"):
            monkeypatch.delattr(type(find_ledger(folder)), name)
        after = [store.set_confirmed(3, figures(INT8)), store.set_test(0, figures(FP32))]
        store.set_hypervolume_reference((0.0, 1.0))
        store.record(complete())
        assert store.hypervolume_reference == (0.0, 1.0)
        found = store.trials()
    assert [found[3], found[0]] == after
    # What did not change is not even made anew.
    assert found[1] is before[1] and found[2] is before[2]
    assert len(found) == len(TRIALS) + 1


def test_violations_are_those_of_the_best_figures(folder: Path) -> None:
    info = make_info((Constraint("latency_ms", "<=", 2.9),))
    with StudyStore.create(folder, info) as store:
        assert store.record(complete()).violations == ("latency_ms <= 2.9",)
        slow = {**figures(FP32), "latency_ms": Measurement(2.5)}
        store.set_confirmed(0, slow)
        assert store.trials()[0].violations == ()
        assert store.searched_trials()[0].violations == ("latency_ms <= 2.9",)


def test_plain_optuna_reads_the_journal(tmp_path: Path) -> None:
    info = make_info((Constraint("latency_ms", "<=", 2.0),))
    with StudyStore.create(tmp_path, info) as store:
        for trial in TRIALS:
            store.record(trial, {"generation": 3})
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / JOURNAL))
    study = optuna.load_study(study_name="fake", storage=optuna.storages.JournalStorage(backend))
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "PRUNED", "FAIL", "COMPLETE"]
    best = study.trials[0]
    assert best.values == [figures(FP32)["accuracy"].value, figures(FP32)["latency_ms"].value]
    assert best.constraints == {"latency_ms <= 2": pytest.approx(best.values[1] - 2.0)}
    assert best.system_attrs["generation"] == 3
    assert Policy.from_json(best.user_attrs["policy"]) == FP32


def test_a_trial_is_one_line_in_the_journal(tmp_path: Path) -> None:
    with StudyStore.create(tmp_path, make_info()) as store:
        before = len((tmp_path / JOURNAL).read_bytes().splitlines())
        store.record(complete())
        assert len((tmp_path / JOURNAL).read_bytes().splitlines()) == before + 1


def test_a_reader_sees_what_a_search_writes_meanwhile(folder: Path) -> None:
    with StudyStore.create(folder, make_info()) as store:
        reader = StudyStore.open(folder)
        assert reader.trials() == []
        store.record(complete())
        assert len(reader.trials()) == 1
        confirmed = {**figures(FP32), "accuracy": Measurement(0.5)}
        store.set_confirmed(0, confirmed)
        assert reader.trials()[0].confirmed == confirmed


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_half_written_last_line_costs_that_trial_only(tmp_path: Path, cut: int) -> None:
    with StudyStore.create(tmp_path, make_info()) as store:
        first = store.record(complete())
        store.record(complete(INT8))
    journal = tmp_path / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-cut])
    assert StudyStore.open(tmp_path).trials() == [first]
    with StudyStore.open(tmp_path, writable=True) as store:
        second = store.record(complete(INT8))
    assert second.number == 1
    assert StudyStore.open(tmp_path).trials() == [first, second]


def test_what_the_sampler_noted_is_kept(folder: Path) -> None:
    noted = [{"generation": 3, "parents": [1, 2]}, {}]
    with StudyStore.create(folder, make_info()) as store:
        for notes in noted:
            store.record(complete(), notes)
    found = StudyStore.open(folder).sampler_attrs()
    assert [dict(found.get(number, {})) for number in range(2)] == noted


def test_a_killed_search_loses_nothing_that_it_recorded(folder: Path) -> None:
    script = f"""
        import sys
        from pathlib import Path
        from tests.search.test_store import complete
        from tests.search.fake import make_info
        from paretune.search.store import StudyStore

        store = StudyStore.create(Path({str(folder)!r}), make_info())
        while True:
            print(store.record(complete()).number, flush=True)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child.stdout as lines:
        numbers = [int(next(lines)) for _ in range(5)]
        os.kill(child.pid, signal.SIGKILL)
        numbers += [int(line) for line in lines if line.endswith("\n")]
    child.wait()
    with StudyStore.open(folder, writable=True) as store:
        assert len(store.trials()) >= len(numbers)
        assert store.record(complete()).number == len(store.trials()) - 1


def test_two_searches_do_not_write_to_one_study(folder: Path) -> None:
    with StudyStore.create(folder, make_info()):
        with pytest.raises(UserError, match=rf"another search is working .*process {os.getpid()}"):
            StudyStore.open(folder, writable=True)
        StudyStore.open(folder).trials()
    StudyStore.open(folder, writable=True).close()


def test_a_reader_does_not_write(folder: Path) -> None:
    StudyStore.create(folder, make_info()).close()
    with pytest.raises(RuntimeError, match="opened for reading"):
        StudyStore.open(folder).record(complete())


def test_a_study_is_not_created_over_another(folder: Path) -> None:
    StudyStore.create(folder, make_info()).close()
    with pytest.raises(UserError, match="holds a study already"):
        StudyStore.create(folder, make_info())


def test_a_folder_without_a_study(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no study in .*there is no study\.journal"):
        StudyStore.open(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello\nworld\n",
        b'{"a": 1}\n{"a": 2}\n',
        b'{"op_code":0,"worker_id":"w","study_name":"s","directions":[1,2]}\n',
        b"[]\n[]\n",
    ],
)
@pytest.mark.parametrize("writable", [True, False])
def test_a_journal_that_cannot_be_read(tmp_path: Path, content: bytes, writable: bool) -> None:
    (tmp_path / JOURNAL).write_bytes(content)
    with pytest.raises(UserError, match="cannot read the study in"):
        StudyStore.open(tmp_path, writable=writable)
    assert (tmp_path / JOURNAL).read_bytes() == content


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *product(("finished_at", "spent", "apply"), ("-Infinity", "NaN", "true", '"1"')),
        *product(("spent", "apply"), ("-1",)),
        ("finished_at", "1e308"),
    ],
)
def test_times_that_are_none(tmp_path: Path, name: str, value: str) -> None:
    with StudyStore.create(tmp_path, make_info()) as store:
        store.record(complete())
    journal = tmp_path / JOURNAL
    text, count = re.subn(rf'("{name}": ?)[\d.e]+', rf"\g<1>{value}", journal.read_text())
    assert count == 1
    journal.write_text(text)
    with pytest.raises(UserError, match="cannot read the study in"):
        StudyStore.open(tmp_path).trials()


def test_a_study_of_another_version(tmp_path: Path) -> None:
    StudyStore.create(tmp_path, make_info()).close()
    lines = [json.loads(line) for line in (tmp_path / JOURNAL).read_bytes().splitlines()]
    (info,) = (line for line in lines if "paretune" in line.get("user_attr", {}))
    info["user_attr"]["paretune"]["_version"] = 99
    (tmp_path / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(
        UserError,
        match="it has version 99, this Paretune reads 1: a newer Paretune wrote it; pip install",
    ):
        StudyStore.open(tmp_path)


def test_differences_are_listed_key_by_key(folder: Path) -> None:
    StudyStore.create(folder, make_info(identity={"model": "m1", "data": "d1"})).close()
    store = StudyStore.open(folder)
    store.require_same({"model": "m1", "data": "d1"})
    with pytest.raises(UserError) as caught:
        store.require_same({"model": "m2", "grain": "8"})
    assert str(caught.value).splitlines()[1:] == [
        "  model: was m1, is now m2",
        "  data: was d1, is now absent",
        "  grain: was absent, is now 8",
    ]


def test_the_hypervolume_reference_is_kept(folder: Path) -> None:
    with StudyStore.create(folder, make_info()) as store:
        assert store.hypervolume_reference is None
        store.set_hypervolume_reference((-0.5, 3.0))
    assert StudyStore.open(folder).hypervolume_reference == (-0.5, 3.0)


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write to the folder"):
        require_writable(tmp_path / "file" / "study")
