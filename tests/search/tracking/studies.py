"""Studies to record."""

import hashlib
from pathlib import Path

import pytest

from paretune.evaluators import Artifact
from paretune.search.info import StudyInfo
from paretune.search.listener import Phase, Snapshot
from paretune.search.store import StudyStore
from paretune.search.tracking import MlflowTracker
from paretune.search.trial import Trial
from paretune.spaces import Policy
from tests import models
from tests.search.synthetic import make_info

# MLflow 3.17 asks SQLAlchemy 2.1 for something that is going away.
OLD_SQLALCHEMY = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated:sqlalchemy.exc.SADeprecationWarning"
)

DEAD = "http://127.0.0.1:9"
REFERENCE = (-0.8, 3.0)


def apply(policy: Policy, path: Path) -> Artifact:
    """A small model whose weights depend on the policy."""
    models.mlp(path, seed=int(policy.key[:8], 16))
    return Artifact(path, policy, hashlib.sha256(path.read_bytes()).hexdigest())


def fill(
    folder: Path, trials: list[Trial], name: str = "synthetic", info: StudyInfo | None = None
) -> StudyStore:
    store = StudyStore.create(folder, info or make_info(name=name))
    for trial in trials:
        store.record(trial)
    # One number for every objective; those of other devices are latencies, too.
    store.set_hypervolume_reference((*REFERENCE, *REFERENCE[1:])[: len(store.info.objectives)])
    confirm(store, trials)
    return store


def confirm(store: StudyStore, trials: list[Trial]) -> None:
    """Record the confirmed figures, and those of the test split."""
    for trial in trials:
        if trial.confirmed:
            store.set_confirmed(trial.number, trial.confirmed)
            store.set_test(trial.number, trial.test)


def end(tracker: MlflowTracker, store: StudyStore) -> None:
    """Call a listener as the driver does after the search phase."""
    trials = len(store.trials())
    for phase in (Phase.CONFIRM, Phase.TEST):
        tracker.on_phase(Snapshot(phase, trials=trials))
    tracker.on_end(Snapshot(Phase.TEST, trials=trials))
