"""Comparing a study whose searches were killed with one that was left alone."""

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from experiments.benchmarks.kills.whole import Broken, lasting
from paretune.evaluators.pooling import repeatable
from paretune.search.confirm import final_members
from paretune.search.store import StudyStore
from paretune.search.study import Study
from paretune.search.trial import Trial, TrialStatus
from paretune.search.view import all_members
from paretune.search.workbench import Workbench


class Undisturbed:
    """A study that was never killed, and its workbench. A context manager.

    Args:
        study: its folder.
        uri: where MLflow has it.
    """

    def __init__(self, study: Path, uri: str) -> None:
        self._folder = study
        self._store = StudyStore.open(study)
        self._trials = {trial.policy: trial for trial in self._store.trials()}
        self._cache = _hashes(study / "cache")
        self._records = records(self._store, uri)
        self._stack = ExitStack()
        self._bench: Workbench = self._stack.enter_context(Study(study).workbench(devices=False))

    def __enter__(self) -> "Undisturbed":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def compare(self, study: Path, uri: str, path: Path) -> int:
        """Compare all that no clock decides.

        Every model is built and measured again here, and must have the same bytes and figures.

        Args:
            study: the folder of the study whose searches were killed; it is complete.
            uri: where MLflow has it.
            path: scratch file.

        Returns:
            how many models were built again.

        Raises:
            Broken: names the difference.
        """
        store = StudyStore.open(study)
        trials = store.trials()
        for trial in final_members(store.info, trials):
            if not (trial.confirmed and trial.test):
                raise Broken(f"trial {trial.number} is on the front, but not confirmed and tested")
        if other := _differences(self._cache, _hashes(study / "cache")):
            raise Broken(f"files of the cache differ from a fresh preparation's: {other}")
        for trial in trials:
            if (same := self._trials.get(trial.policy)) is not None:
                _require_equal(trial, same)
        complete = [trial for trial in trials if trial.status is TrialStatus.COMPLETE]
        for trial in complete:
            self._rebuild(trial, path)
        found = records(store, uri)
        if found.keys() != self._records.keys():
            raise Broken(f"MLflow has {found.keys()}, undisturbed {self._records.keys()}")
        for key, value in self._records.items():
            if found[key] != value:
                raise Broken(f"MLflow's {key}: {found[key]}, undisturbed {value}")
        return len(complete)

    def _rebuild(self, trial: Trial, path: Path) -> None:
        artifact = self._bench.apply(trial.policy, path)
        if artifact.sha256 != trial.artifact_sha256:
            raise Broken(f"trial {trial.number} has other bytes when it is built again")
        if trial.confirmed:
            measured, _ = self._bench.measure(artifact, "search")
            for name, now in measured.items():
                before = trial.confirmed[name]
                if repeatable(before) and not before.in_parts and before.value != now.value:
                    raise Broken(f"trial {trial.number}: {name} {before.value}, now {now.value}")


def records(store: StudyStore, uri: str) -> dict[str, Any]:
    """The structure of a study's records in MLflow, after checking that it holds this study.

    Raises:
        Broken: something is there twice, is missing, or is of another trial.
    """
    from mlflow import MlflowClient

    client = MlflowClient(uri, uri)
    (experiment,) = client.search_experiments(filter_string="name = 'paretune'")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    trials = {str(trial.number): trial for trial in store.trials()}
    parents = [run for run in runs if not run.data.tags["paretune.trial"]]
    children = [run for run in runs if run.data.tags["paretune.trial"]]
    if len(parents) != 1 or len({run.data.tags["paretune.trial"] for run in children}) != len(
        children
    ):
        raise Broken(f"MLflow has {len(parents)} parent runs and {len(children)} others")
    members = {str(trial.number) for trial in all_members(store.info, store.trials())}
    if {run.data.tags["paretune.trial"] for run in children} != members:
        raise Broken("MLflow's runs are not those of the front")
    for run in children:
        outputs = [] if run.outputs is None else run.outputs.model_outputs
        models = [client.get_logged_model(output.model_id) for output in outputs]
        trial = trials[run.data.tags["paretune.trial"]]
        if [model.tags.get("paretune.sha256") for model in models] != [trial.artifact_sha256]:
            raise Broken(f"MLflow has {len(models)} models of trial {trial.number}")
    logged = client.search_logged_models([experiment.experiment_id])
    (parent,) = parents
    steps = [m.step for m in client.get_metric_history(parent.info.run_id, "front_size")]
    if sorted(steps) != list(range(len(trials))):
        raise Broken(f"MLflow's charts have {len(steps)} steps, the study {len(trials)} trials")
    return {
        "models without a run": len(logged) - len(children),
        "states of models": {str(model.status) for model in logged},
        "state of the study": parent.info.status,
        "charts": set(parent.data.metrics),
        "parameters": set(parent.data.params),
        "tags": set(parent.data.tags),
        "files": {file.path for file in client.list_artifacts(parent.info.run_id)},
        "states of trials": {run.info.status for run in children},
        "metrics of trials": set().union(*(run.data.metrics for run in children)),
        "registered versions": [v.version for v in client.search_model_versions("")],
    }


def _require_equal(trial: Trial, same: Trial) -> None:
    if trial.artifact_sha256 != same.artifact_sha256:
        raise Broken(f"trial {trial.number} has other bytes than the undisturbed {same.number}")
    for name, found in trial.figures.items():
        other = same.figures.get(name)
        if other is None or found.partial or other.partial or not repeatable(found):
            continue
        if found.value != other.value and not (found.in_parts or other.in_parts):
            raise Broken(f"trial {trial.number}: {name} {found.value} instead of {other.value}")


def _hashes(cache: Path) -> dict[str, str]:
    return {
        str(path.relative_to(cache)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in lasting(cache)
    }


def _differences(fresh: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Files of both that differ, and what is there only once; pieces come with the policies."""
    names = fresh.keys() | found.keys()
    return sorted(
        name
        for name in names
        if fresh.get(name) != found.get(name)
        and not (name.split("/")[-2:-1] == ["pieces"] and (name not in fresh or name not in found))
    )
