"""A study's records in MLflow, held open while it runs."""

import json
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from paretune.errors import UserError
from paretune.evaluators import Artifact
from paretune.evaluators.metric import at
from paretune.search import text
from paretune.search.config import TrackingSection
from paretune.search.front import front
from paretune.search.outputs import write_outputs
from paretune.search.standing import Standing, standings
from paretune.search.tracking import runs, spelling
from paretune.search.tracking.client import connect, find_experiment
from paretune.search.tracking.content import Content
from paretune.search.tracking.history import History
from paretune.search.tracking.model import log_model
from paretune.search.tracking.points import trial_points
from paretune.search.tracking.runs import Point, Record
from paretune.search.trial import Trial, TrialStatus
from paretune.search.view import all_members, front_numbers
from paretune.spaces import Policy

if TYPE_CHECKING:
    from mlflow import MlflowClient

Apply = Callable[[Policy, Path], Artifact]
"""`Workbench.apply`: writes the artifact of a policy to a path."""


class Projection:
    """Writes what a study holds into one parent run and its children. Idempotent throughout.

    What takes long is done piece by piece, with a pause after each: iterate to the end. After an
    error it is of no more use; a new one brings what is missing.

    Attributes:
        client: talks to the server or database.
        run_id: of the parent run.
    """

    def __init__(self, content: Content, section: TrackingSection) -> None:
        """Find the study's runs or make them.

        Raises:
            UserError: the tracking URI does not answer, or the study has no trial yet.
        """
        trials = content.trials
        if not trials:
            raise UserError(f"the study in '{content.folder}' has no trial yet; nothing to record")
        if section.uri is None:
            raise UserError("tracking.uri is empty, so there is nowhere to record the study")
        self._info = content.info
        self._all_trials = section.all_trials
        self.client: MlflowClient = connect(section.uri)
        self._experiment = find_experiment(self.client, section.experiment)
        self._study = runs.study_key(content.info, trials)
        found = runs.find_study(self.client, self._experiment, self._study)
        self.run_id = found or runs.create_study(
            self.client, self._experiment, self._study, content.info, trials[0]
        )
        self._history = History(content.info, None)
        self._reference: tuple[float, ...] | None = None
        self._written = 0
        self._describe(content)

    def write_steps(self, content: Content) -> Iterator[None]:
        """Bring the parent run's charts up to the last trial."""
        if content.hypervolume_reference != self._reference:
            # The seed policies fix the point that volumes count from; their own steps get it late.
            self._reference = content.hypervolume_reference
            self._history = History(self._info, self._reference)
            self._written = 0
        points = [
            Point(spelling.key(name), value, step.time_ms, step.number)
            for step in self._history.steps(content.searched[self._written :])
            for name, value in step.values.items()
        ]
        self._written = len(content.searched)
        for begin in range(0, len(points), runs.BATCH):
            batch = points[begin : begin + runs.BATCH]
            runs.write(self.client, self.run_id, Record(batch))
            yield

    def write_outputs(self, content: Content) -> Iterator[None]:
        """Tables and figures as artifacts of the parent run."""
        with tempfile.TemporaryDirectory() as scratch:
            for path in write_outputs(self._info, content.trials, Path(scratch)):
                self.client.log_artifact(self.run_id, str(path))
                yield
        tags = {"mlflow.note.content": spelling.description(self._info, content.trials)}
        runs.write(self.client, self.run_id, Record(tags=tags))

    def write_children(self, content: Content, apply: Apply | None) -> Iterator[None]:
        """One run a front member, with its model; one for every trial if the config asks for it.

        Args:
            apply: makes the members' models; without it they are left out.
        """
        trials = content.trials
        found = front_numbers(self._info, trials)
        members = set().union(*found.values())
        known = self.children()
        standing = standings(self._info, trials, front(trials, self._info.objectives))
        for trial in trials:
            own = standing.get(trial.number)
            if trial.number in members:
                self.write_child(trial, known, apply, found, own)
            elif self._all_trials or trial.number in known:
                self.write_child(trial, known, None, found, own)
            else:
                continue
            yield
        if not self._all_trials:
            for number in known.keys() - members:
                # What the registry refers to stays.
                if not runs.is_picked(self.client, known[number]):
                    self.client.delete_run(known[number])
                yield

    def children(self) -> dict[int, str]:
        """Trial number to run id."""
        return runs.find_children(self.client, self._experiment, self.run_id)

    def write_child(
        self,
        trial: Trial,
        known: Mapping[int, str],
        apply: Apply | None,
        members: Mapping[str, Collection[int]],
        standing: Standing | None,
    ) -> tuple[str, str | None]:
        """The run of one trial; returns its id and that of its model.

        Args:
            known: what `children` says.
            apply: makes its model; without it that is left out.
            members: what `front_numbers` says.
            standing: of a member of the whole front; None for others.
        """
        run_id = known.get(trial.number) or runs.create_child(
            self.client, self._experiment, self.run_id, self._study, trial
        )
        tags = {
            "paretune.status": trial.status.value,
            **{
                spelling.key(at("paretune.on_front", device)): str(trial.number in found).lower()
                for device, found in members.items()
            },
            **spelling.standing_tags(standing),
            "paretune.flags": "; ".join(text.flags(self._info.metrics, trial.figures)),
            "paretune.artifact_sha256": trial.artifact_sha256,
            "mlflow.note.content": trial.reason or "; ".join(trial.violations),
        }
        runs.write(self.client, run_id, Record((), spelling.trial_params(trial), tags))
        policy = json.dumps(json.loads(trial.policy.to_json()), indent=2)
        self.client.log_text(run_id, policy, "policy.json")
        model_id = None
        if apply is not None:
            with tempfile.TemporaryDirectory() as scratch:
                artifact = apply(trial.policy, Path(scratch) / "model.onnx")
                name = spelling.model_name(f"{self._info.name}-trial-{trial.number}")
                model_id = log_model(self.client, run_id, name, artifact)
        runs.write(self.client, run_id, Record(trial_points(self._info, trial)), model_id)
        failed = trial.status is TrialStatus.FAILED
        ended = runs.milliseconds(trial.finished_at)
        self.client.set_terminated(run_id, "FAILED" if failed else "FINISHED", ended)
        return run_id, model_id

    def end(self, content: Content) -> None:
        """Close the parent run: finished if the whole front was tested, else killed."""
        members = all_members(self._info, content.trials)
        whole = bool(members) and all(member.test for member in members)
        # The last one is not the latest if the clock was set back.
        ended = runs.milliseconds(max(trial.finished_at for trial in content.trials))
        self.client.set_terminated(self.run_id, "FINISHED" if whole else "KILLED", ended)

    def _describe(self, content: Content) -> None:
        """What stays the same all night."""
        tags = {"paretune.folder": content.folder.name, **spelling.environment_tags(self._info)}
        runs.write(self.client, self.run_id, Record((), spelling.study_params(self._info), tags))
        runs.log_data(self.client, self.run_id, self._info)
        self.client.update_run(self.run_id, status="RUNNING")
