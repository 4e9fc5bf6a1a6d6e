"""Whether MLflow answers."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from paretune.errors import UserError
from paretune.search.tracking import check_reachable
from tests.evaluators.processes.test_worker import wait_until
from tests.search.tracking.studies import DEAD, OLD_SQLALCHEMY

pytestmark = OLD_SQLALCHEMY


@pytest.mark.parametrize(
    "bad",
    [DEAD, "nonsense://x", "sqlite:////proc/mlflow.db", "postgresql://u@127.0.0.1:9/db"],
)
def test_unreachable_at_start_is_the_users_error(bad: str) -> None:
    begin = time.monotonic()
    with pytest.raises(UserError, match="cannot reach MLflow at '") as caught:
        check_reachable(bad)
    assert bad in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - begin < 30


def test_a_file_that_is_no_database_is_the_users_error(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("not a database, " * 100)
    with pytest.raises(UserError, match="not a database"):
        check_reachable(f"sqlite:///{path}")
    assert path.read_text().startswith("not a database")


MAKING = """
import sys
from paretune.search.tracking import check_reachable
check_reachable(sys.argv[1])
"""


def test_a_database_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    uri = f"sqlite:///{path}"
    child = subprocess.Popen([sys.executable, "-c", MAKING, uri])
    wait_until(lambda: bool([*tmp_path.glob(".*/mlflow.db-journal")]) or child.poll() is not None)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    assert not path.exists()
    check_reachable(uri)
    assert [one.name for one in tmp_path.iterdir()] == ["mlflow.db"]
    check_reachable(uri)
