"""A study's records in MLflow, held open while it runs."""

import json
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from paretune.errors import UserError
from paretune.evaluators import Artifact
from paretune.evaluators.metric import at, extended
from paretune.search import text
from paretune.search.config import TrackingSection
from paretune.search.front import front
from paretune.search.outputs import write_outputs
from paretune.search.standing import Standing, standings
from paretune.search.store import StudyStore
from paretune.search.table import ordered
from paretune.search.tracking import runs, spelling
from paretune.search.tracking.client import connect, find_experiment
from paretune.search.tracking.history import History
from paretune.search.tracking.model import log_model
from paretune.search.tracking.runs import Point, Record
from paretune.search.trial import Trial, TrialStatus
from paretune.search.view import all_members, front_numbers
from paretune.spaces import Policy

if TYPE_CHECKING:
    from mlflow import MlflowClient

Apply = Callable[[Policy, Path], Artifact]
"""`Workbench.apply`: writes the artifact of a policy to a path."""


class Projection:
    """Writes what the store says into one parent run and its children. Idempotent throughout.

    Attributes:
        client: talks to the server or database.
        run_id: of the parent run.
    """

    def __init__(self, store: StudyStore, section: TrackingSection) -> None:
        """Find the study's runs or make them.

        Raises:
            UserError: the tracking URI does not answer, or the study has no trial yet.
        """
        trials = store.trials()
        if not trials:
            raise UserError(f"the study in '{store.folder}' has no trial yet; nothing to record")
        if section.uri is None:
            raise UserError("tracking.uri is empty, so there is nowhere to record the study")
        self._store = store
        self._all_trials = section.all_trials
        self.client: MlflowClient = connect(section.uri)
        self._experiment = find_experiment(self.client, section.experiment)
        self._study = runs.study_key(store.info, trials)
        found = runs.find_study(self.client, self._experiment, self._study)
        begun = int(1000 * (trials[0].finished_at - trials[0].duration))
        self.run_id = found or runs.create_study(
            self.client, self._experiment, self._study, store.info, begun
        )
        self._history = History(store.info, None)
        self._reference: tuple[float, ...] | None = None
        self._written = 0
        self._describe(trials)

    def write_steps(self) -> None:
        """Bring the parent run's charts up to the last trial."""
        trials = self._store.searched_trials()
        reference = self._store.hypervolume_reference
        if reference != self._reference:
            # The seed policies fix the point that volumes count from; their own steps get it late.
            self._reference = reference
            self._history = History(self._store.info, reference)
            self._written = 0
        steps = list(self._history.steps(trials[self._written :]))
        self._written = len(trials)
        points = [
            Point(spelling.key(name), value, step.time_ms, step.number)
            for step in steps
            for name, value in step.values.items()
        ]
        try:
            runs.write(self.client, self.run_id, Record(points))
        except BaseException:
            self._history = History(self._store.info, reference)
            self._written = 0
            raise

    def write_outputs(self) -> None:
        """Tables and figures as artifacts of the parent run."""
        trials = self._store.trials()
        with tempfile.TemporaryDirectory() as scratch:
            write_outputs(self._store.info, trials, Path(scratch))
            self.client.log_artifacts(self.run_id, scratch)
        tags = {"mlflow.note.content": spelling.description(self._store.info, trials)}
        runs.write(self.client, self.run_id, Record(tags=tags))

    def write_children(self, apply: Apply | None) -> None:
        """One run a front member, with its model; one for every trial if the config asks for it.

        Args:
            apply: makes the members' models; without it they are left out.
        """
        trials = self._store.trials()
        found = front_numbers(self._store.info, trials)
        members = set().union(*found.values())
        known = self.children()
        standing = standings(self._store.info, trials, front(trials, self._store.info.objectives))
        for trial in trials:
            own = standing.get(trial.number)
            if trial.number in members:
                self.write_child(trial, known, apply, found, own)
            elif self._all_trials or trial.number in known:
                self.write_child(trial, known, None, found, own)
        if not self._all_trials:
            for number in known.keys() - members:
                # What the registry refers to stays.
                if not runs.is_picked(self.client, known[number]):
                    self.client.delete_run(known[number])

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
            "paretune.flags": "; ".join(text.flags(self._store.info.metrics, trial.figures)),
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
                name = spelling.model_name(f"{self._store.info.name}-trial-{trial.number}")
                model_id = log_model(self.client, run_id, name, artifact)
        runs.write(self.client, run_id, Record(self._figures(trial)), model_id)
        failed = trial.status is TrialStatus.FAILED
        self.client.set_terminated(
            run_id, "FAILED" if failed else "FINISHED", int(trial.finished_at * 1000)
        )
        return run_id, model_id

    def end(self) -> None:
        """Close the parent run: finished if the whole front was tested, else killed."""
        trials = self._store.trials()
        members = all_members(self._store.info, trials)
        whole = bool(members) and all(member.test for member in members)
        last = int(1000 * max(trial.finished_at for trial in trials))
        self.client.set_terminated(self.run_id, "FINISHED" if whole else "KILLED", last)

    def _describe(self, trials: Sequence[Trial]) -> None:
        """What stays the same all night."""
        info = self._store.info
        tags = {"paretune.folder": self._store.folder.name, **spelling.environment_tags(info)}
        runs.write(self.client, self.run_id, Record((), spelling.study_params(info), tags))
        self._log_data()
        self.client.update_run(self.run_id, status="RUNNING")

    def _log_data(self) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        info = self._store.info
        digest = info.identity.get("data", "")[:36]
        inputs = self.client.get_run(self.run_id).inputs
        if not digest or (inputs is not None and inputs.dataset_inputs):
            return
        name = str(info.config.get("data") or "data")[:500]
        data = Dataset(name, digest, "code", json.dumps({"function": name}))
        tags = [InputTag("mlflow.data.context", "search")]
        self.client.log_inputs(self.run_id, [DatasetInput(data, tags)])

    def _figures(self, trial: Trial) -> list[Point]:
        """As searched at step 0, confirmed at step 1, so that MLflow shows the confirmed ones."""
        time_ms = int(trial.finished_at * 1000)
        points = []
        if trial.samples is not None:
            points.append(Point("search_samples", trial.samples, time_ms, 0))
        sources = (("", 0, trial.measurements), ("", 1, trial.confirmed), ("test_", 1, trial.test))
        for prefix, step, measured in sources:
            for metric in ordered(self._store.info):
                if (found := measured.get(metric.name)) is None:
                    continue
                for suffix, value in (
                    ("", found.value),
                    ("_low", found.low),
                    ("_high", found.high),
                ):
                    if value is not None:
                        name = spelling.key(f"{prefix}{extended(metric.name, suffix)}")
                        points.append(Point(name, value, time_ms, step))
        return points
