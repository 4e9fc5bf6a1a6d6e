"""`--cluster` and `search.cluster`."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from paretune.errors import UserError
from paretune.search.cli.overrides import overridden
from paretune.search.cluster.address import ClusterSpec
from paretune.search.config import Config
from tests.search.command import paretune, refused
from tests.search.tiny import config, project, write

__all__ = ["project"]


def configured(**search: Any) -> Config:
    return Config.of(config(name="tiny", search=search), Path(), "tiny.yaml")


def test_a_search_has_no_cluster_unless_it_is_given_one() -> None:
    assert configured().search.cluster is None
    assert overridden(configured(cluster="local:2")).search.cluster == ClusterSpec(processes=2)
    given = overridden(configured(cluster="local:2"), cluster="tcp://server:8786")
    assert given.search.cluster == ClusterSpec("tcp://server:8786")
    assert given.search.trials == configured().search.trials


@pytest.mark.parametrize("text", [None, "local", "local:4", "tls://server:8786"])
def test_the_config_is_stored_as_it_was_spelled(text: str | None) -> None:
    given = configured(cluster=text)
    stored = given.model_dump(mode="json")
    assert stored["search"]["cluster"] == text
    assert Config.of(json.loads(json.dumps(stored)), Path(), "stored") == given


def test_a_config_of_an_older_version_has_no_such_key() -> None:
    stored = configured().model_dump(mode="json")
    del stored["search"]["cluster"]
    assert Config.of(stored, Path(), "stored").search.cluster is None


def test_mistakes_are_named(project: Path) -> None:
    message = "cannot read the cluster 'lokal:4'; allowed are local:4 "
    assert refused("search", "tiny.yaml", "--cluster", "lokal:4").startswith(message)
    write(project, search={"cluster": "local:0"})
    shown = refused("search", "tiny.yaml")
    assert shown.startswith("tiny.yaml: search.cluster: cannot read the cluster 'local:0'; allowed")
    with pytest.raises(UserError, match=re.escape("search.cluster: must be text, but got 4")):
        configured(cluster=4)
    assert not list(project.glob("runs/**/*"))


def test_the_commands_say_how() -> None:
    assert "--cluster" in paretune("search", "--help").stdout
    shown = paretune("worker", "--help").stdout
    assert "paretune worker tcp://server:8786" in shown
    assert "Examples:" in shown


def test_there_is_nothing_to_join(project: Path) -> None:
    assert "no study in 'tiny.yaml'; allowed are" in refused("worker", "tiny.yaml")
    assert "no study in 'nothing'" in refused("worker", "nothing")
    assert "cannot read the cluster 'tcp://x'" in refused("worker", "tcp://x")
    assert paretune("worker", "tcp://x:1", "--processes", "0").exit_code == 2
