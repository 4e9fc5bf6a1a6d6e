"""MLflow on a real database: what stands in it, that it stands there once, and what if it dies."""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import onnxruntime
import pandas as pd
import pytest
from mlflow import MlflowClient

from paretune.errors import UserError
from paretune.evaluators import Artifact
from paretune.search.config import TrackingSection
from paretune.search.constraint import Constraint
from paretune.search.front import front, hypervolume
from paretune.search.info import StudyInfo
from paretune.search.listener import Phase, Snapshot
from paretune.search.store import StudyStore
from paretune.search.table import front_table
from paretune.search.tracking import (
    MlflowTracker,
    check_reachable,
    default_alias,
    register_trial,
    sync,
)
from paretune.search.tracking import tracker as tracker_module
from paretune.search.tracking.projection import Projection
from paretune.search.trial import Trial
from paretune.search.turnover import turnover
from paretune.search.view import fronts
from paretune.spaces import Policy
from tests import models
from tests.search.synthetic import (
    make_device_info,
    make_device_trials,
    make_info,
    make_trials,
)

# MLflow 3.17 asks SQLAlchemy 2.1 for something that is going away.
pytestmark = pytest.mark.filterwarnings(
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
    store.set_hypervolume_reference(REFERENCE)
    for trial in trials:
        if trial.confirmed:
            store.set_confirmed(trial.number, trial.confirmed)
            store.set_test(trial.number, trial.test)
    return store


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all tests: making one takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture(scope="module")
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


def test_a_second_sync_adds_nothing(synced: SimpleNamespace) -> None:
    assert len(synced.ids) == 1
    assert len(synced.children) == len(synced.members)
    history = synced.client.get_metric_history(synced.parent.info.run_id, "front_size")
    assert [point.step for point in history] == list(range(25))
    logged = synced.client.search_logged_models([synced.experiment.experiment_id])
    assert len(logged) == len(synced.members)


def test_children_are_the_front_with_its_figures(synced: SimpleNamespace) -> None:
    by_number = {int(run.data.tags["paretune.trial"]): run for run in synced.children}
    assert by_number.keys() == {member.number for member in synced.members}
    for member in synced.members:
        run = by_number[member.number]
        assert run.data.tags["mlflow.parentRunId"] == synced.parent.info.run_id
        assert run.info.run_name == f"trial {member.number}"
        latency = member.confirmed["latency_ms"]
        assert run.data.metrics["latency_ms"] == latency.value
        assert run.data.metrics["latency_ms_low"] == latency.low
        assert run.data.metrics["test_accuracy"] == member.test["accuracy"].value
        int8 = sum(choice.precision == "int8" for _, choice in member.policy)
        assert run.data.params.get("int8_layers", "0") == str(int8)
        written = synced.client.download_artifacts(run.info.run_id, "policy.json")
        assert Policy.from_json(Path(written).read_text()) == member.policy


def test_runs_tell_how_members_stand(synced: SimpleNamespace) -> None:
    rows = front_table(synced.store.info, synced.store.trials()).set_index("trial")
    note = synced.parent.data.tags["mlflow.note.content"]
    assert "| vs fp32 | vs uniform int8 | ties with |" in note
    assert str(turnover(synced.store.info, synced.store.trials())) in note
    for run in synced.children:
        tags, row = run.data.tags, rows.loc[int(run.data.tags["paretune.trial"])]
        for column in ("vs_fp32", "vs_uniform_int8"):
            assert tags[f"paretune.{column}"] == ("" if pd.isna(row[column]) else row[column])
        assert json.loads(f"[{tags['paretune.ties']}]") == json.loads(str(row["ties"]))


def test_parent_shows_the_search(synced: SimpleNamespace) -> None:
    store = synced.store
    run = synced.parent
    assert run.info.status == "FINISHED"
    assert run.data.params["sampler"] == "nsga2"
    assert run.data.tags["onnxruntime"] == "1.31.0"
    assert run.inputs.dataset_inputs[0].dataset.digest == store.info.identity["data"]
    volumes = synced.client.get_metric_history(run.info.run_id, "hypervolume")
    searched = store.searched_trials()
    for point in (volumes[3], volumes[-1]):
        expected = hypervolume(
            searched[: point.step + 1], store.info.objectives, np.array(REFERENCE)
        )
        assert point.value == pytest.approx(expected, rel=1e-12)


def test_parent_carries_tables_and_figures(synced: SimpleNamespace, tmp_path: Path) -> None:
    client, run_id = synced.client, synced.parent.info.run_id
    names = {file.path for file in client.list_artifacts(run_id)}
    tables = {"front.csv", "front.parquet", "trials.parquet", "config.yaml"}
    assert names == tables | {"front.html", "front.png", "policies.png", "explain.html"}
    parquet = client.download_artifacts(run_id, "front.parquet", str(tmp_path))
    expected = front_table(synced.store.info, synced.store.trials())
    pd.testing.assert_frame_equal(pd.read_parquet(parquet), expected)


def test_artifacts_lie_beside_the_database(synced: SimpleNamespace, uri: str) -> None:
    folder = Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts"
    assert synced.experiment.artifact_location == folder.as_uri()
    assert any(folder.rglob("front.html"))


def test_a_study_begun_anew_is_another_run(synced: SimpleNamespace, tmp_path: Path) -> None:
    later = [replace(t, finished_at=t.finished_at + 1e4) for t in make_trials(3, confirm=False)]
    with fill(tmp_path / "s", later) as store:
        found = sync(store, synced.section)
        assert found not in synced.ids
        # Interrupted before its front was confirmed and tested: it says so, until it is.
        assert synced.client.get_run(found).info.status == "KILLED"
        for trial in store.trials():
            again = {n: replace(m, value=m.value * 0.99) for n, m in trial.measurements.items()}
            store.set_confirmed(trial.number, again)
            store.set_test(trial.number, again)
        assert sync(store, synced.section) == found
        assert synced.client.get_run(found).info.status == "FINISHED"
        children = synced.client.search_runs(
            [synced.experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{found}'"
        )
        for run in children:
            trial = store.trials()[int(run.data.tags["paretune.trial"])]
            assert run.data.metrics["accuracy"] == trial.figures["accuracy"].value
            history = synced.client.get_metric_history(run.info.run_id, "accuracy")
            assert history[0].value == trial.measurements["accuracy"].value


def test_all_trials_on_request_and_stale_children_go(uri: str, tmp_path: Path) -> None:
    with fill(tmp_path / "s", make_trials(6), "all") as store:
        parent = sync(store, TrackingSection(uri=uri, experiment="all", all_trials=True))
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name("all")
        assert experiment is not None
        assert len(client.search_runs([experiment.experiment_id])) == 1 + 6
        assert sync(store, TrackingSection(uri=uri, experiment="all")) == parent
        members = front(store.trials(), store.info.objectives)
        assert len(client.search_runs([experiment.experiment_id])) == 1 + len(members)


def test_devices_and_flags_are_found_in_mlflow(uri: str, tmp_path: Path) -> None:
    long = "raw-samples-" * 1000
    info = make_device_info([Constraint("latency_ms@server", "<=", 0.2)])
    trials = [
        replace(
            trial,
            confirmed={
                name: replace(m, samples={"raw": long}, flags=("disturbed",) * (trial.number == 0))
                for name, m in trial.confirmed.items()
            },
        )
        for trial in make_device_trials(12)
    ]
    with fill(tmp_path / "s", trials, info=info) as store:
        parent = sync(store, TrackingSection(uri=uri, experiment="devices"))
        stored = store.trials()
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("devices")
    assert experiment is not None

    def found(filter_string: str) -> set[int]:
        runs = client.search_runs([experiment.experiment_id], filter_string)
        assert not [run for run in runs if "raw-samples" in str(run.to_dictionary())]
        return {int(run.data.tags["paretune.trial"] or -1) for run in runs}

    # No trial holds the server's constraint: the whole front and the server's are empty.
    members = {name: {t.number for t in found} for name, found in fronts(info, stored).items()}
    assert members["pi"] and not members[""] and not members["server"]
    assert found("tags.`paretune.on_front/pi` = 'true'") == members["pi"]
    assert found("tags.`paretune.on_front` = 'true'") == set()
    fastest = min(stored[n].figures["latency_ms@pi"].value for n in members["pi"])
    assert len(found(f"metrics.`latency_ms/pi` <= {fastest}")) == 1
    flagged = {number for number in members["pi"] if number == 0}
    assert found("tags.`paretune.flags` LIKE '%latency_ms@pi: disturbed%'") == flagged == {0}
    metrics = client.search_runs(
        [experiment.experiment_id], "tags.`paretune.on_front/pi` = 'true'"
    )[0].data.metrics
    assert {"latency_ms/pi", "latency_ms_low/pi", "test_latency_ms/server"} <= metrics.keys()
    names = {file.path for file in client.list_artifacts(parent)}
    assert {"front-pi.png", "front-server.html"} <= names


def test_a_device_has_an_alias_of_its_own() -> None:
    assert default_alias(None) == "picked"
    assert default_alias("pi") == "picked-pi"
    assert default_alias("lab.bench-3_b") == "picked-lab-bench-3_b"


def test_registered_model_loads_and_is_the_artifact(
    synced: SimpleNamespace, uri: str, tmp_path: Path
) -> None:
    member = synced.members[0]
    artifact = apply(member.policy, tmp_path / "model.onnx")
    name, version = register_trial(synced.store, synced.section, member, artifact, "picked")
    again = register_trial(synced.store, synced.section, member, artifact, "picked")
    assert (name, version) == ("synthetic", "1") == again

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        loaded = mlflow.onnx.load_model("models:/synthetic@picked")
        folder = Path(mlflow.artifacts.download_artifacts("models:/synthetic@picked"))
        signature = mlflow.models.get_model_info("models:/synthetic@picked").signature
    finally:
        mlflow.set_tracking_uri(before)
    assert (folder / "model.onnx").read_bytes() == artifact.path.read_bytes()
    assert signature.inputs.inputs[0].shape == (-1, 8)
    assert signature.outputs.inputs[0].name == "logits"
    x = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    outputs = [
        onnxruntime.InferenceSession(model).run(None, {"x": x})[0]
        for model in (loaded.SerializeToString(), str(artifact.path))
    ]
    np.testing.assert_array_equal(*outputs)


def test_syncing_leaves_no_global_state(synced: SimpleNamespace, uri: str) -> None:
    assert mlflow.active_run() is None
    assert mlflow.get_tracking_uri() != uri


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


def test_dead_server_during_the_search_only_warns(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracker_module, "PERIOD_S", 0.0)
    monkeypatch.setattr(tracker_module, "PATIENCE", 0.0)
    said: list[str] = []
    trials = make_trials(8)
    with fill(tmp_path / "s", trials) as store:
        dead = MlflowTracker(TrackingSection(uri=DEAD), None, said.append)
        drive(dead, store)
        assert len(said) == 1
        assert DEAD in said[0]
        assert "goes on without it" in said[0]

        # The server comes back: the next write brings everything.
        said.clear()
        section = TrackingSection(uri=DEAD, experiment="revived")
        revived = MlflowTracker(section, apply, said.append)
        snapshot = Snapshot(trials=8)
        revived.on_start(store)
        revived.on_trial(store.trials()[0], snapshot)
        monkeypatch.setattr(revived, "_section", section.model_copy(update={"uri": uri}))
        for trial in store.trials()[1:]:
            revived.on_trial(trial, snapshot)
        revived.on_end(snapshot)
        assert [line.endswith("works again") for line in said] == [False, True]
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name("revived")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
        assert len(runs) == 1 + len(front(store.trials(), store.info.objectives))
    assert not [r for r in caplog.records if r.name.startswith("mlflow") and r.levelno < 40]


def test_tracker_writes_seldom(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    writes: list[float] = []

    def slow(_self: Any, _store: Any, _section: Any) -> None:
        writes.append(clock.now)
        clock.now += 2.0
        raise OSError("timed out")

    monkeypatch.setattr(Projection, "__init__", slow)
    with fill(tmp_path / "s", make_trials(3)) as store:
        tracker = MlflowTracker(TrackingSection(uri=uri), None, logging.getLogger().debug)
        tracker.on_start(store)
        trial = store.trials()[0]
        while clock.now < 400:
            tracker.on_trial(trial, Snapshot(trials=3))
            clock.now += 1.0
    # The first after 15 s; each takes 2 s, so the next is 100 s later.
    assert writes == [15.0, 117.0, 219.0, 321.0]


def drive(tracker: MlflowTracker, store: StudyStore) -> None:
    """Call a listener as the driver does."""
    tracker.on_start(store)
    trials = store.trials()
    for done, trial in enumerate(trials, 1):
        tracker.on_trial(trial, Snapshot(trials=done))
    for phase in (Phase.CONFIRM, Phase.TEST):
        tracker.on_phase(Snapshot(phase, trials=len(trials)))
    tracker.on_end(Snapshot(Phase.TEST, trials=len(trials)))


def test_nothing_to_sync_yet(uri: str, tmp_path: Path) -> None:
    with (
        StudyStore.create(tmp_path / "s", make_info()) as store,
        pytest.raises(UserError, match="no trial yet"),
    ):
        sync(store, TrackingSection(uri=uri))
    shutil.rmtree(tmp_path / "s")
