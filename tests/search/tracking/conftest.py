"""What several test files of MLflow share."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient

from paretune.search.config import TrackingSection
from paretune.search.front import front
from paretune.search.tracking import check_reachable, sync
from tests.search.synthetic import make_trials
from tests.search.tracking.studies import apply, fill


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow's without anything in it: making one takes seconds."""
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    check_reachable(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def uri(empty_database: Path) -> str:
    """One database for all tests, each with an experiment of its own."""
    path = empty_database.with_name("shared.db")
    path.write_bytes(empty_database.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def synced(uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A study of 25 trials, synced twice."""
    store = fill(tmp_path_factory.mktemp("study") / "s", make_trials(25))
    section = TrackingSection(uri=uri, experiment="synced")
    first, second = sync(store, section, apply), sync(store, section, apply)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    experiment = client.get_experiment_by_name("synced")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    yield SimpleNamespace(
        store=store,
        section=section,
        client=client,
        ids={first, second},
        parent=client.get_run(first),
        children=[run for run in runs if run.info.run_id != first],
        experiment=experiment,
        members=front(store.trials(), store.info.objectives),
    )
    store.close()
