"""Connecting to MLflow, quietly and without waiting long for a server that is not there.

MLflow is imported on first use: it takes seconds.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from paretune.errors import UserError
from paretune.files import scratch_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_CONNECT_TIMEOUT_S = 5

# By default MLflow waits 120 s for an answer and asks 7 more times, pausing in between; tells its
# makers about every call; draws progress bars across ours; and prints where each run is. What the
# user sets stays.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def connect(uri: str) -> "MlflowClient":
    """A client for a tracking server or database, which answered just now.

    No global state of MLflow is changed, so a notebook's own `mlflow.set_tracking_uri` stays.

    Raises:
        UserError: nothing answers under `uri`, or it is not an MLflow store.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    # Their errors are raised as well.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        if is_database(uri):
            _probe_database(uri)
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, OSError, ImportError, ValueError) as error:
        raise UserError(
            f"cannot reach MLflow at '{uri}' (tracking.uri): {cause(error)}; allowed are a running"
            " server such as http://host:5000, a database such as sqlite:///mlflow.db, or"
            " `tracking: {enabled: false}`"
        ) from None
    return client


def check_reachable(uri: str) -> None:
    """Refuse a tracking server that does not answer now.

    Raises:
        UserError: names the URI and what went wrong.
    """
    connect(uri)


@contextmanager
def failing_with_a_message(uri: str) -> Iterator[None]:
    """What MLflow fails with in the middle becomes one line.

    Raises:
        UserError: it failed.
    """
    try:
        yield
    except Exception as error:
        from mlflow.exceptions import MlflowException
        from requests import RequestException
        from sqlalchemy.exc import SQLAlchemyError

        if not isinstance(error, MlflowException | RequestException | SQLAlchemyError):
            raise
        raise UserError(
            f"MLflow at '{uri}' fails: {cause(error)}; once it works, `paretune sync` writes what"
            " is missing"
        ) from error


def cause(error: Exception) -> str:
    """One line that says why, without what the HTTP client wraps around it."""
    first, *_ = str(error).strip().splitlines() or [type(error).__name__]
    _, wrapped, inner = first.partition("(Caused by ")
    return inner.rstrip(")") + ")" if wrapped else first


def find_experiment(client: "MlflowClient", name: str) -> str:
    """The id of an experiment, made or restored if need be."""
    uri = client.tracking_uri
    found = client.get_experiment_by_name(name)
    if found is None:
        # Without its kind, MLflow's pages take it for an evaluation of language models.
        return str(
            client.create_experiment(
                name,
                artifact_location=_artifacts_beside(uri),
                tags={"mlflow.experimentKind": "custom_model_development"},
            )
        )
    if found.lifecycle_stage != "active":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def is_database(uri: str) -> bool:
    return uri.partition(":")[0].partition("+")[0] in _DATABASES


def _artifacts_beside(uri: str) -> str | None:
    """Beside a database file, so that both move together; a server knows a place of its own."""
    path = _sqlite_file(uri)
    return None if path is None else (path.resolve().parent / "mlartifacts").as_uri()


def _sqlite_file(uri: str) -> Path | None:
    if uri.partition(":")[0].partition("+")[0] != "sqlite":
        return None
    from sqlalchemy import make_url

    database = make_url(uri).database
    return Path(database) if database and database != ":memory:" else None


def _probe_database(uri: str) -> None:
    """Connect once: MLflow itself tries ten times, for more than three minutes."""
    from sqlalchemy import create_engine, inspect

    path = _sqlite_file(uri)
    if path is not None:
        path.resolve().parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path if path.exists() else path.resolve().parent, os.W_OK):
            raise OSError(f"cannot write to {path}")
        if not path.exists() or not path.stat().st_size:
            _make_database(path.resolve())
    scheme = uri.partition(":")[0].partition("+")[0]
    waits = {"connect_timeout": _CONNECT_TIMEOUT_S} if scheme in ("postgresql", "mysql") else {}
    engine = create_engine(uri, connect_args=waits)
    try:
        inspect(engine)
    finally:
        engine.dispose()


def _make_database(path: Path) -> None:
    """Make MLflow's tables elsewhere first: half of them could never be completed after a kill."""
    from mlflow import MlflowClient

    with scratch_folder(path.parent, path.name) as scratch:
        draft = scratch / path.name
        MlflowClient(tracking_uri=f"sqlite:///{draft}").search_experiments(max_results=1)
        if path.exists() and not path.stat().st_size:
            path.unlink()
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            # Somebody else was faster.
            return
        except OSError:
            # Not every file system knows links.
            draft.replace(path)
