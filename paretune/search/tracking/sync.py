"""Rebuilding a study's records in MLflow from its store, and registering a pick."""

from collections.abc import Iterator

from paretune.evaluators import Artifact
from paretune.search.config import TrackingSection
from paretune.search.front import front
from paretune.search.standing import standings
from paretune.search.store import StudyStore
from paretune.search.tracking import runs, spelling
from paretune.search.tracking.client import failing_with_a_message
from paretune.search.tracking.content import Content
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
        UserError: the tracking URI does not answer or fails, or the study has no trial yet.
    """
    content = Content.of(store)
    with failing_with_a_message(str(section.uri)):
        projection = Projection(content, section)
        for _ in write_all(projection, content, apply):
            pass
    return projection.run_id


def write_all(projection: Projection, content: Content, apply: Apply | None) -> Iterator[None]:
    """Everything that is written at a study's end, piece by piece."""
    yield from projection.write_steps(content)
    yield from projection.write_children(content, apply)
    yield from projection.write_outputs(content)
    projection.end(content)


def register_trial(
    store: StudyStore, section: TrackingSection, trial: Trial, artifact: Artifact, alias: str
) -> tuple[str, str]:
    """Register a trial's model under the study's name; returns that name and the version.

    Args:
        artifact: of the trial's policy.
        alias: moves to this version.

    Raises:
        UserError: the tracking URI does not answer, or fails.
    """
    content = Content.of(store)
    trials = content.trials
    standing = standings(store.info, trials, front(trials, store.info.objectives))
    name = spelling.model_name(store.info.name)
    with failing_with_a_message(str(section.uri)):
        projection = Projection(content, section)
        run_id, model_id = projection.write_child(
            trial,
            projection.children(),
            lambda _policy, _path: artifact,
            front_numbers(store.info, trials),
            standing.get(trial.number),
        )
        assert model_id is not None
        version = register_model(projection.client, name, model_id, alias)
        runs.write(projection.client, run_id, runs.Record(tags={runs.PICKED_TAG: version}))
        projection.end(content)
    return name, version
