"""Rebuilding a study's records in MLflow from its store, and registering a pick."""

from paretune.evaluators import Artifact
from paretune.search.config import TrackingSection
from paretune.search.front import front
from paretune.search.standing import standings
from paretune.search.store import StudyStore
from paretune.search.tracking import runs, spelling
from paretune.search.tracking.model import register_model
from paretune.search.tracking.projection import Apply, Projection
from paretune.search.trial import Trial
from paretune.search.view import front_numbers


def sync(store: StudyStore, section: TrackingSection, apply: Apply | None = None) -> str:
    """Write all records of a study, as often as one likes; returns the parent run's id.

    Args:
        apply: makes the front members' models (`Workbench.apply`); without it those that are
            not in MLflow yet are left out.

    Raises:
        UserError: the tracking URI does not answer, or the study has no trial yet.
    """
    projection = Projection(store, section)
    write_all(projection, apply)
    return projection.run_id


def write_all(projection: Projection, apply: Apply | None) -> None:
    """Everything that is written at a study's end."""
    projection.write_steps()
    projection.write_children(apply)
    projection.write_outputs()
    projection.end()


def register_trial(
    store: StudyStore, section: TrackingSection, trial: Trial, artifact: Artifact, alias: str
) -> tuple[str, str]:
    """Register a trial's model under the study's name; returns that name and the version.

    Args:
        artifact: of the trial's policy.
        alias: moves to this version.

    Raises:
        UserError: the tracking URI does not answer.
    """
    projection = Projection(store, section)
    trials = store.trials()
    standing = standings(store.info, trials, front(trials, store.info.objectives))
    run_id, model_id = projection.write_child(
        trial,
        projection.children(),
        lambda _policy, _path: artifact,
        front_numbers(store.info, trials),
        standing.get(trial.number),
    )
    assert model_id is not None
    name = spelling.model_name(store.info.name)
    version = register_model(projection.client, name, model_id, alias)
    runs.write(projection.client, run_id, runs.Record(tags={runs.PICKED_TAG: version}))
    projection.end()
    return name, version
