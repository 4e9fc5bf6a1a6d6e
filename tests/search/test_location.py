"""Where the study of a folder is: the file that tells, and changing one's mind."""

import json
import sys
from pathlib import Path

import pytest

from experiments.benchmarks.postgresql import Server
from paretune.errors import UserError
from paretune.search.location import LOCATION, Location, find_ledger, settle
from paretune.search.storage_url import StorageUrl
from paretune.search.store import StudyStore
from tests.search.fake import make_info


@pytest.fixture
def url(postgresql: Server) -> StorageUrl:
    return StorageUrl.parse(postgresql.fresh())


def test_a_folder_without_a_file_keeps_its_journal(tmp_path: Path) -> None:
    settle(tmp_path, None, "fake", tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert str(find_ledger(tmp_path)) == "study.journal"


def test_only_the_owner_reads_the_file(tmp_path: Path, url: StorageUrl) -> None:
    settle(tmp_path, url, "fake", tmp_path)
    assert (tmp_path / LOCATION).stat().st_mode & 0o777 == 0o600
    assert Location.read(tmp_path) == Location(url, "fake", tmp_path, Path.cwd())


def test_the_folder_remembers_the_storage(tmp_path: Path, url: StorageUrl) -> None:
    settle(tmp_path, url, "fake", tmp_path)
    StudyStore.create(tmp_path, make_info()).close()
    settle(tmp_path, None, "fake", tmp_path)
    assert StudyStore.open(tmp_path).info == make_info()
    assert not (tmp_path / "study.journal").exists()


def test_a_mistake_may_be_corrected_before_the_study_begins(
    tmp_path: Path, url: StorageUrl, postgresql: Server
) -> None:
    settle(tmp_path, StorageUrl(postgresql.fresh()), "fake", tmp_path)
    settle(tmp_path, url, "fake", tmp_path)
    assert Location.read(tmp_path) == Location(url, "fake", tmp_path, Path.cwd())


def test_a_study_does_not_wander(tmp_path: Path, url: StorageUrl, postgresql: Server) -> None:
    settle(tmp_path, url, "fake", tmp_path)
    StudyStore.create(tmp_path, make_info()).close()
    for storage, name in [(StorageUrl(postgresql.fresh()), "fake"), (url, "another")]:
        with pytest.raises(UserError, match=r"is the folder of the study 'fake' in .* or remove"):
            settle(tmp_path, storage, name, tmp_path)


def test_a_journal_does_not_become_a_database(tmp_path: Path, url: StorageUrl) -> None:
    StudyStore.create(tmp_path, make_info()).close()
    with pytest.raises(UserError, match=r"holds a study in its study\.journal"):
        settle(tmp_path, url, "fake", tmp_path)


def test_a_new_password_is_taken_over(tmp_path: Path, url: StorageUrl) -> None:
    settle(tmp_path, url, "fake", tmp_path)
    changed = StorageUrl(url.full.replace("paretune@", "paretune:new@"))
    settle(tmp_path, changed, "fake", tmp_path / "elsewhere")
    found = Location.read(tmp_path)
    assert found is not None
    assert (found.storage, found.base) == (changed, tmp_path)


def test_a_database_that_does_not_answer_is_not_remembered(tmp_path: Path) -> None:
    nowhere = StorageUrl("postgresql://me:secret@127.0.0.1:1/studies")
    with pytest.raises(
        UserError, match=r"database at postgresql://me:\*\*\*@127.* cannot be used: .*refused"
    ) as caught:
        settle(tmp_path, nowhere, "fake", tmp_path)
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_type": "paretune.policy"}, "its type is 'paretune.policy'"),
        ({"_version": 2}, "it has version 2, this Paretune reads 1: a newer Paretune wrote it"),
        ({"storage": "sqlite:///x"}, "cannot read the storage 'sqlite:///x'"),
        ({"name": None}, "no 'name'"),
    ],
)
def test_a_file_that_cannot_be_read(
    tmp_path: Path, url: StorageUrl, changes: dict[str, object], message: str
) -> None:
    settle(tmp_path, url, "fake", tmp_path)
    path = tmp_path / LOCATION
    data = {**json.loads(path.read_bytes()), **changes}
    path.write_text(json.dumps({key: one for key, one in data.items() if one is not None}))
    with pytest.raises(UserError, match=rf"cannot read '.*{LOCATION}': {message}"):
        StudyStore.open(tmp_path)


def test_a_file_that_is_no_json(tmp_path: Path) -> None:
    (tmp_path / LOCATION).write_text("{")
    with pytest.raises(UserError, match=rf"cannot read '.*{LOCATION}': Expecting property"):
        StudyStore.open(tmp_path)


def test_the_driver_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("paretune.search.postgresql")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UserError, match=r"needs psycopg .*pip install 'paretune\[postgresql\]'"):
        settle(tmp_path, StorageUrl("postgresql://host/studies"), "fake", tmp_path)
