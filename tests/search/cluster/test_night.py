"""A whole night on a cluster with a small model: a worker and the MLflow server die on the way."""

from contextlib import closing
from pathlib import Path

import pytest

from experiments.benchmarks.night.morning import check
from experiments.benchmarks.night.night import Night
from experiments.benchmarks.night.servers import running_servers
from experiments.benchmarks.postgresql import MISSING, programs
from paretune.search.cluster.cores import allowed_cores
from tests.search.tiny import config, project
from tests.search.tracking.studies import OLD_SQLALCHEMY

__all__ = ["project"]

pytestmark = OLD_SQLALCHEMY
TRIALS = 30
PATIENT = '''
import time

import tiny_data

from paretune.search.tracking import tracker

# The night is short: MLflow is written to without a pause.
tracker.PERIOD_S = tracker.PATIENCE = 0.1


def data():
    return tiny_data.data()


def slow(outputs, targets):
    """Some time for what happens on the way."""
    time.sleep(0.03)
    return outputs["logits"].argmax(axis=1) == targets
'''


def test_a_night_in_which_parts_of_it_die(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if programs() is None:
        pytest.skip(MISSING)
    (project / "patient.py").write_text(PATIENT)
    functions = {"own": {"function": "patient:slow", "direction": "maximize"}}
    night_config = config(
        name="tiny",
        model=str(project / "tiny.onnx"),
        data="patient:data",
        objectives=["own", "divergence", "size_bytes"],
        evaluators=[{"type": "accuracy", "functions": functions}],
        search={"sampler": "nsga2", "racing": False},
    )
    folder, told = tmp_path_factory.mktemp("night"), list[str]()
    with (
        running_servers(folder) as servers,
        closing(
            Night(
                night_config,
                folder,
                servers,
                trials=TRIALS,
                cwd=project,
                search_cores=allowed_cores(),
                say=told.append,
            )
        ) as night,
    ):
        story = night.run()
        found = check(night, story, folder)
    # MLflow would say where each run is.
    assert "View run" not in story.printed
    assert found["jobs_of_the_killed_worker"] > 0
    assert found["mlflow_runs"] == 1 + found["front"]
    assert [line.partition(": ")[2] for line in told] == [
        "a worker is killed",
        f"it was at {found['jobs_of_the_killed_worker']} jobs",
        "MLflow is killed",
        "another worker joins",
        "MLflow is started again",
        "the search says that it goes on without MLflow",
        "MLflow answers again",
        "the search has ended",
    ]
