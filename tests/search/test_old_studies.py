"""Studies that earlier versions wrote: they open, show the same, and can be gone on with."""

import csv
import hashlib
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from paretune.errors import UserError
from paretune.search.front import front
from paretune.search.journal import JOURNAL
from paretune.search.store import StudyStore
from paretune.search.study import study_config
from paretune.search.table import trials_table
from paretune.search.trial import TrialStatus
from tests.search.command import paretune

V1 = Path(__file__).parent / "studies" / "v1"
FRONT = [3, 6, 13]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(V1 / JOURNAL, tmp_path)
    return tmp_path


def test_its_trials_are_read() -> None:
    store = StudyStore.open(V1)
    trials = store.trials()
    statuses = [trial.status for trial in trials]
    assert [statuses.count(status) for status in TrialStatus] == [13, 1, 1]
    assert trials[4].reason.startswith("ONNX Runtime cannot load 'runs/digits/scratch/")
    assert trials[12].measurements["accuracy_drop"].samples["count"] == 225
    assert trials[11].violations == ("accuracy_drop <= 0.009",)
    assert [trial.number for trial in front(trials, store.info.objectives)] == FRONT
    assert all(trials[number].confirmed and trials[number].test for number in FRONT)
    assert trials[13].figures["size_bytes"].value == 23872
    assert str(trials[6].policy) == (
        "block1.0=int8, block2.0=binary+channel:0.5, block3.0=binary, linear1=binary, linear2=int8"
    )
    assert store.hypervolume_reference is not None
    assert store.sampler_attrs().keys() == set(range(15))


def test_its_front_is_shown() -> None:
    shown = paretune("front", str(V1))
    assert shown.exit_code == 0
    assert "digits: front of 3 out of 15 trials" in " ".join(shown.stdout.split())
    rows = list(csv.DictReader(io.StringIO(paretune("front", str(V1), "--csv").stdout)))
    assert [int(row["trial"]) for row in rows] == FRONT
    assert [float(row["size_bytes"]) for row in rows] == [54171, 31619, 23872]
    members = json.loads(paretune("front", str(V1), "--json").stdout)
    assert [member["accuracy"] for member in members] == [float(row["accuracy"]) for row in rows]
    assert all(member["confirmed"] for member in members)
    store = StudyStore.open(V1)
    assert len(trials_table(store.info, store.trials())) == 15


def test_it_explains_itself() -> None:
    told = paretune("explain", str(V1))
    assert told.exit_code == 1
    assert "digits: too few trials to tell: 13 measured" in told.stdout


def test_it_can_be_gone_on_with(copy: Path) -> None:
    with StudyStore.open(copy, writable=True) as store:
        store.require_same(store.info.identity)
        with pytest.raises(UserError, match="about something else"):
            store.require_same({**store.info.identity, "model": "0" * 16})
        assert study_config(store).objectives == ("accuracy", "size_bytes")
        trial = store.trials()[3]
        assert store.record(replace(trial, number=-1)).number == 15
        store.set_confirmed(15, trial.confirmed)
    assert len(StudyStore.open(copy).trials()) == 16


def test_the_stored_file_stays_as_it_was() -> None:
    content = (V1 / JOURNAL).read_bytes()
    assert hashlib.sha256(content).hexdigest()[:16] == "161f3ccb3372f5a7"
    info = json.loads(content.splitlines()[2])["user_attr"]["paretune"]
    assert info["_version"] == 1
