"""What stands in MLflow of a study: once, and as the study says."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from paretune.errors import UserError
from paretune.evaluators.pooling import pool
from paretune.search.config import TrackingSection
from paretune.search.constraint import Constraint
from paretune.search.front import front, hypervolume
from paretune.search.store import StudyStore
from paretune.search.table import front_table
from paretune.search.tracking import default_alias, sync
from paretune.search.turnover import turnover
from paretune.search.view import fronts
from paretune.spaces import Policy
from tests.search.synthetic import make_device_info, make_device_trials, make_info, make_trials
from tests.search.tracking.studies import OLD_SQLALCHEMY, REFERENCE, fill

pytestmark = OLD_SQLALCHEMY


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


def test_what_is_confirmed_once_more_counts_as_the_last(uri: str, tmp_path: Path) -> None:
    section = TrackingSection(uri=uri, experiment="pooled")
    client = MlflowClient(tracking_uri=uri)
    with fill(tmp_path / "s", make_trials(1)) as store:
        (run,) = shown(client, section, sync(store, section))
        (trial,) = store.trials()
        first = trial.confirmed["latency_ms"]
        assert run.data.metrics["latency_ms"] == first.value
        # Less than before: of equal steps MLflow would show the larger value.
        pooled = pool(first, replace(first, value=0.9 * first.value, low=0.8 * first.value))
        assert pooled.value < first.value
        store.set_confirmed(0, {**trial.confirmed, "latency_ms": pooled})
        (run,) = shown(client, section, sync(store, section))
    for suffix, value in (("", pooled.value), ("_low", pooled.low), ("_high", pooled.high)):
        assert run.data.metrics[f"latency_ms{suffix}"] == value


def shown(client: MlflowClient, section: TrackingSection, parent: str) -> list[Run]:
    """The children of a study's run."""
    experiment = client.get_experiment_by_name(section.experiment)
    assert experiment is not None
    return list(
        client.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'")
    )


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


def test_nothing_to_sync_yet(uri: str, tmp_path: Path) -> None:
    with (
        StudyStore.create(tmp_path / "s", make_info()) as store,
        pytest.raises(UserError, match="no trial yet"),
    ):
        sync(store, TrackingSection(uri=uri))


def test_syncing_leaves_no_global_state(synced: SimpleNamespace, uri: str) -> None:
    assert mlflow.active_run() is None
    assert mlflow.get_tracking_uri() != uri
