"""Whole searches whose study is in a database: the commands find it, and other machines go on."""

from pathlib import Path

import pytest
import yaml

from experiments.benchmarks.postgresql import Server
from paretune.search.location import LOCATION
from paretune.search.store import StudyStore
from tests.search.command import paretune, refused
from tests.search.tiny import project, write

__all__ = ["project"]


def test_machines_share_a_study(project: Path, postgresql: Server) -> None:
    url = postgresql.fresh().replace("paretune@", "paretune:secret@")
    searched = paretune("search", "tiny.yaml", "--trials", "5", "--quiet", "--storage", url)
    assert searched.exit_code == 0, searched.output
    here = Path("runs/tiny")
    first = StudyStore.open(here).trials()
    assert len(first) == 5
    assert not (here / "study.journal").exists()

    # The folder knows, whether it is named or the config; the secret is nowhere else.
    assert "out of 5 trials" in paretune("front", "runs/tiny").stdout
    assert "out of 5 trials" in paretune("front", "tiny.yaml").stdout
    files = [path for path in here.rglob("*") if path.is_file()]
    assert [path.name for path in files if b"secret" in path.read_bytes()] == [LOCATION]
    assert "secret" not in str(StudyStore.open(here).info)
    assert "secret" not in searched.output

    # Another machine has nothing but the config; its name is what the study is found by.
    write(project, name="tiny", storage=url, output="there")
    assert "out of 5 trials" in paretune("front", "tiny.yaml").stdout
    again = paretune("search", "tiny.yaml", "--trials", "8", "--quiet")
    assert again.exit_code == 0, again.output
    assert [trial.policy for trial in StudyStore.open(here).trials()][:5] == [
        trial.policy for trial in first
    ]
    assert "out of 8 trials" in paretune("front", "runs/tiny").stdout
    picked = paretune("pick", "there", "--trial", "0")
    assert picked.exit_code == 0, picked.output
    assert Path("there/picks/trial-0/model.onnx").is_file()
    assert "storage" not in yaml.safe_load(Path("there/config.yaml").read_text())


def test_a_study_that_nobody_has_begun(project: Path, postgresql: Server) -> None:
    write(project, storage=postgresql.fresh())
    message = refused("front", "tiny.yaml")
    assert message.startswith("no study in 'runs/tiny': there is no study 'tiny' in postgresql://")


@pytest.mark.parametrize("storage", ["sqlite:///x", "postgresql://me:secret@host", 7])
def test_a_storage_that_is_none(project: Path, storage: object) -> None:
    write(project, storage=storage)
    message = refused("search", "tiny.yaml")
    assert message.startswith("tiny.yaml: storage: ")
    assert "secret" not in message
    if isinstance(storage, str):
        write(project)
        assert "allowed is postgresql://" in refused("search", "tiny.yaml", "--storage", storage)
