"""The command line: what it prints, where it writes, and with what exit code it ends."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from paretune.search.store import StudyStore
from paretune.spaces import Policy
from tests.search.command import paretune, refused
from tests.search.tiny import project, write

__all__ = ["project"]


def test_from_a_config_to_a_picked_model(project: Path) -> None:
    searched = paretune("search", "tiny.yaml", "--quiet")
    assert searched.exit_code == 0, searched.output
    assert "tiny: front of" in searched.stdout

    table = list(csv.DictReader(io.StringIO(paretune("front", "tiny.yaml", "--csv").stdout)))
    members = json.loads(paretune("front", "runs/tiny", "--json").stdout)
    assert [int(row["trial"]) for row in table] == [member["trial"] for member in members]
    assert all(member["confirmed"] for member in members)
    assert f"front of {len(members)} out of 12 trials" in paretune("front", "tiny.yaml").stdout

    picked = paretune("pick", "tiny.yaml", "--max-drop", "1", "--minimize", "size_bytes")
    assert picked.exit_code == 0, picked.output
    smallest = min(members, key=lambda member: member["size_bytes"])
    folder = project / "runs/tiny/picks" / f"trial-{smallest['trial']}"
    assert (folder / "model.onnx").stat().st_size == smallest["size_bytes"]
    assert Policy.from_json((folder / "policy.json").read_text()) == Policy.from_json(
        json.dumps(smallest["policy"])
    )
    assert f"repeats accuracy = {smallest['accuracy']!r}"[:30] in picked.stdout
    onnxruntime.InferenceSession(folder / "model.onnx").run(
        None, {"image": np.zeros((1, 3, 12, 12), np.float32)}
    )


def test_the_same_command_resumes(project: Path) -> None:
    paretune("search", "tiny.yaml", "--trials", "6")
    before = StudyStore.open(Path("runs/tiny")).trials()
    again = paretune("search", "tiny.yaml", "--trials", "6")
    assert "The search ended because all 6 trials are done." in again.stdout
    assert StudyStore.open(Path("runs/tiny")).trials() == before
    more = paretune("search", "tiny.yaml", "--budget", "9")
    assert "The search ended because all 9 trials are done." in more.stdout
    after = StudyStore.open(Path("runs/tiny")).trials()
    assert [trial.policy for trial in after[:6]] == [trial.policy for trial in before]
    assert len(after) == 9


def test_options_stand_in_for_keys_of_the_config(project: Path) -> None:
    paretune("search", "tiny.yaml", "--trials", "5", "--sampler", "random", "--output", "elsewhere")
    store = StudyStore.open(Path("elsewhere"))
    assert store.info.config["search"]["sampler"] == "random"
    assert len(store.trials()) == 5
    assert not Path("runs").exists()


def test_a_study_is_found_from_elsewhere(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paretune("search", "tiny.yaml", "--trials", "5")
    (project / "far").mkdir()
    monkeypatch.chdir(project / "far")
    sys.modules.pop("tiny_data")
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(project)])
    picked = paretune("pick", "../runs/tiny", "--trial", "0", "--output", "out")
    assert picked.exit_code == 0, picked.output
    assert sorted(p.name for p in Path("out").iterdir()) == [
        "model.onnx",
        "policy.json",
        "report.md",
    ]


@pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated:sqlalchemy.exc.SADeprecationWarning"
)
def test_sync_catches_up_with_a_search_that_ran_without_mlflow(project: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{project / 'mlflow.db'}"
    paretune("search", "tiny.yaml", "--trials", "4", "--no-mlflow")
    first = paretune("sync", "tiny.yaml", "--uri", uri, "--no-models")
    assert first.exit_code == 0, first.output
    second = paretune("sync", "runs/tiny", "--uri", uri)
    assert second.stdout == first.stdout
    run_id = first.stdout.split()[2]
    client = MlflowClient(uri)
    experiment = client.get_run(run_id).info.experiment_id
    runs = client.search_runs([experiment])
    members = json.loads(paretune("front", "tiny.yaml", "--json").stdout)
    assert len(runs) == 1 + len(members)
    assert len(client.search_logged_models([experiment])) == len(members)


def test_the_space_is_shown(project: Path) -> None:
    found = json.loads(paretune("space", "tiny.yaml", "--json").stdout)
    assert [layer["name"] for layer in found["layers"]] == [
        "stem",
        "block.a",
        "block.b",
        "down",
        "head",
    ]
    assert found["groups"][0]["layers"] == ["stem", "block.b"]
    assert found["groups"][0]["amounts"] == [0.5]
    # Three precisions a layer, and three groups that may lose half of their channels.
    assert found["size"] == 3**5 * 2**3
    shown = paretune("space", "tiny.yaml").stdout
    assert "1,944 different policies" in shown
    assert "16×3×3×3" in shown


def test_space_tells_what_each_choice_costs_each_layer(project: Path) -> None:
    found = json.loads(paretune("space", "tiny.yaml", "--json", "--errors").stdout)
    assert list(found["errors"]) == [layer["name"] for layer in found["layers"]]
    for layer in found["layers"]:
        row = found["errors"][layer["name"]]
        assert row.keys() >= set(layer["precisions"])
        assert row["fp32"] == 0
        assert all(0 <= error < 1 for error in row.values())
        assert any(error > 0 for error in row.values())
    shown = paretune("space", "tiny.yaml", "--errors").stdout
    assert "Error of each layer's output" in shown


def test_layers_are_narrowed_by_the_config(project: Path) -> None:
    write(
        project,
        space={"precision": ["int8"], "layers": {"re:block": {"precision": ["fp32"]}}},
    )
    found = json.loads(paretune("space", "tiny.yaml", "--json").stdout)
    offered = {layer["name"]: layer["precisions"] for layer in found["layers"]}
    assert offered["block.a"] == offered["block.b"] == ["fp32"]
    assert offered["stem"] == ["fp32", "int8"]


@pytest.mark.parametrize("command", ["search", "space", "front", "pick", "sync"])
def test_every_command_teaches_by_example(command: str) -> None:
    shown = paretune(command, "--help").stdout
    assert f"paretune {command}" in shown
    assert "Examples:" in shown


def test_help_loads_nothing_heavy() -> None:
    heavy = {"torch", "onnx", "onnxruntime", "optuna", "mlflow", "pandas", "numpy", "pydantic"}
    script = f"import sys, paretune.search.cli.main; print({heavy} & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_two_devices_have_fronts_and_picks_of_their_own(project: Path) -> None:
    write(
        project,
        objectives=["accuracy", "latency_ms@one", "latency_ms@two"],
        metrics=["size_bytes"],
        evaluators=[{"type": "latency", "max_seconds": 0.02}],
        devices={"one": "local", "two": {"threads": 2}},
        space={"precision": ["int8"], "sparsity": []},
    )
    message = refused("pick", "tiny.yaml", "--knee", "--device", "one")
    assert "no study" in message
    searched = paretune("search", "tiny.yaml", "--trials", "2")
    assert searched.exit_code == 0, searched.output
    assert "Front of two: paretune front runs/tiny --device two" in searched.stdout

    members = json.loads(paretune("front", "tiny.yaml", "--device", "two", "--json").stdout)
    assert "latency_ms@two" in members[0]
    assert "latency_ms@one" not in members[0]
    whole = json.loads(paretune("front", "tiny.yaml", "--json").stdout)
    numbers = {member["trial"] for member in whole}
    assert {member["trial"] for member in members} <= numbers
    assert all(member["confirmed"] for member in members)
    assert "tiny on two: front of" in paretune("front", "tiny.yaml", "--device", "two").stdout
    assert "on one, two" in refused("front", "tiny.yaml", "--device", "three")

    rule = ("--max-drop", "1", "--minimize", "latency_ms", "--device", "two")
    picked = paretune("pick", "tiny.yaml", *rule)
    assert picked.exit_code == 0, picked.output
    fastest = min(members, key=lambda member: member["latency_ms@two"])
    folder = project / "runs/tiny/picks" / f"two-trial-{fastest['trial']}"
    assert (folder / "model.onnx").stat().st_size == fastest["size_bytes"]
    assert "each device has its own 'latency_ms'" in refused("pick", "tiny.yaml", *rule[:4])
