"""`cluster.json`: whole, for its owner only, and there as long as the cluster."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from paretune.errors import UserError
from paretune.search.cluster.cluster_file import FILE, ClusterFile


def test_it_is_there_as_long_as_the_cluster(tmp_path: Path) -> None:
    cluster = ClusterFile.here("tls://127.0.0.1:5", {"certificate": "c", "key": "k"})
    assert cluster.on_this_machine
    assert ClusterFile.read(tmp_path) is None
    with pytest.raises(ZeroDivisionError), cluster.published(tmp_path):
        assert ClusterFile.read(tmp_path) == cluster
        assert [path.name for path in tmp_path.iterdir()] == [FILE]
        assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_one_that_a_killed_search_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("left")
    (tmp_path / FILE).chmod(0o644)
    with ClusterFile.here("tcp://a:1", None).published(tmp_path):
        assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_the_machine_is_told(tmp_path: Path) -> None:
    here = ClusterFile.here("tcp://a:1", None)
    assert not replace(here, machine="another").on_this_machine


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        json.dumps({"_type": "paretune.cluster", "_version": 1}),
        json.dumps({"_type": "paretune.cluster", "_version": 2}),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(UserError, match=re.escape(f"cannot read '{tmp_path / FILE}': ")):
        ClusterFile.read(tmp_path)
