"""The command line: what it prints, where it writes, and with what exit code it ends."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from typer.testing import CliRunner, Result

from paretune.search.cli.main import app
from paretune.search.store import StudyStore
from paretune.spaces import Policy
from tests import models
from tests.search.tiny import project, write

__all__ = ["project"]


def paretune(*arguments: str) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def refused(*arguments: str) -> str:
    """The one message of a mistake."""
    result = paretune(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.output
    return result.stderr.removeprefix("error: ").strip()


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


def test_a_rule_that_nothing_satisfies(project: Path) -> None:
    paretune("search", "tiny.yaml", "--trials", "5")
    nothing = paretune("pick", "tiny.yaml", "--max-drop", "-1", "--minimize", "size_bytes")
    assert nothing.exit_code == 1
    assert "nearest is trial" in nothing.stderr
    assert not Path("runs/tiny/picks").exists()


def test_a_study_without_a_front(project: Path) -> None:
    write(project, constraints=["accuracy >= 2"])
    searched = paretune("search", "tiny.yaml", "--trials", "5")
    assert searched.exit_code == 0
    assert "no trial satisfies the constraints" in searched.stdout
    assert paretune("front", "tiny.yaml").exit_code == 1


def test_another_model_is_refused_with_the_difference(project: Path) -> None:
    paretune("search", "tiny.yaml", "--trials", "5")
    models.cnn(project / "tiny.onnx", channels=16, seed=1)
    message = refused("search", "tiny.yaml", "--trials", "8")
    assert "is about something else" in message
    assert "\n  model: was " in message
    assert "data: was" not in message
    assert "tiny.onnx" not in message
    assert "preparation" in message


def test_another_space_is_refused_with_the_difference(project: Path) -> None:
    paretune("search", "tiny.yaml", "--trials", "5")
    write(project, space={"precision": ["int8"], "sparsity": ["channel:0.5"]})
    message = refused("search", "tiny.yaml", "--trials", "8")
    assert "\n  precisions: was fp32, int8, w8 #" in message
    assert "is now fp32, int8 #" in message
    assert "model: was" not in message


def _not_onnx(project: Path) -> None:
    (project / "tiny.onnx").write_bytes(b"hello")


def _truncated(project: Path) -> None:
    data = (project / "tiny.onnx").read_bytes()
    (project / "tiny.onnx").write_bytes(data[: len(data) // 2])


def _gone(project: Path) -> None:
    (project / "tiny.onnx").unlink()


def _no_weights(project: Path) -> None:
    model = onnx.load(project / "tiny.onnx")
    onnx.save(
        model,
        project / "tiny.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    (project / "weights.bin").unlink()


def _no_layer(project: Path) -> None:
    shape: list[int | str] = ["batch", 3, 12, 12]
    node = onnx.helper.make_node("Relu", ["image"], ["y"], "relu")
    models.save(
        project / "tiny.onnx",
        [node],
        {"image": (onnx.TensorProto.FLOAT, shape)},
        {"y": (onnx.TensorProto.FLOAT, shape)},
        {},
    )


def _nan(project: Path) -> None:
    models.nan_model(project / "tiny.onnx")


def _nothing(project: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("spoil", "changes", "message"),
    [
        (_gone, {}, "no file .*tiny.onnx"),
        (_not_onnx, {}, "tiny.onnx"),
        (_truncated, {}, "tiny.onnx"),
        (_no_weights, {}, "weights.bin"),
        (_no_layer, {}, "the model has no layer to compress"),
        (_nan, {"data": "tiny_data:features"}, "NaN"),
        (_nothing, {"model": "nosuch:function"}, "no module 'nosuch'"),
        (_nothing, {"smapler": 1}, "unknown key 'smapler'; nearest is 'search.sampler'"),
        (_nothing, {"search": {"trials": "x"}}, "search.trials: must be a whole number"),
        (_nothing, {"search": {"time": "soon"}}, "search.time: cannot read the time 'soon'"),
        (_nothing, {"search": {"sampler": "nsga4"}}, "unknown sampler 'nsga4'; nearest is 'nsga"),
        (_nothing, {"objectives": ["acuracy"]}, "unknown metric 'acuracy'; nearest is 'accuracy'"),
        (_nothing, {"constraints": ["siz <= 3"]}, "constraints: unknown metric 'siz'"),
        (_nothing, {"evaluators": [{"type": "latancy"}]}, "no plugin 'latancy'.*'latency'"),
        (_nothing, {"evaluators": [{"type": "latency", "thread": 1}]}, "unknown key 'thread'"),
        (_nothing, {"backend": {"type": "onx"}}, "no plugin 'onx'.*'onnx'"),
        (_nothing, {"backend": {"type": "onnx", "calibrate": "x"}}, "calibrat"),
        (_nothing, {"space": {"layers": {"re:conv9": {}}}}, "'re:conv9' matches no layer"),
        (_nothing, {"data": "tiny_data:dada"}, "has no 'dada'; nearest is 'data'"),
        (_nothing, {"data": "tiny_data:broken"}, "RuntimeError: disk on fire"),
        (_nothing, {"data": "tiny_data:missing_split"}, "the split 'test' is missing"),
        (_nothing, {"data": "tiny_data:no_samples"}, "the split 'test' has no samples"),
        (_nothing, {"data": "tiny_data:wrong_name"}, "the model has no input 'picture'"),
        (_nothing, {"data": "tiny_data:wrong_dtype"}, "has dtype float64"),
        (_nothing, {"data": "tiny_data:wrong_shape"}, "has shape"),
        (_nothing, {"data": "tiny_data:wrong_targets"}, "target"),
        (_nothing, {"output": "tiny.yaml/runs"}, "cannot write to the folder"),
        (_nothing, {"tracking": {"uri": "http://127.0.0.1:9"}}, "cannot reach MLflow"),
    ],
)
def test_mistakes_are_one_message(
    project: Path, spoil: Any, changes: dict[str, Any], message: str
) -> None:
    spoil(project)
    write(project, **changes)
    assert re.search(message, refused("search", "tiny.yaml"))
    assert not Path("runs/tiny/study.journal").exists()
    assert not list(Path().glob("runs/tiny/*.onnx"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("search", "nothing.yaml"), "no config file 'nothing.yaml'"),
        (("search", "tiny.yaml", "--budget", "8x"), "cannot read the budget '8x'"),
        (("search", "tiny.yaml", "--sampler", "tpee"), "unknown sampler 'tpee'; nearest is 'tpe'"),
        (("front", "nothing"), "no study in 'nothing'"),
        (("front", "tiny.yaml"), "no study in 'runs/tiny'"),
        (("front", "tiny.yaml", "--json", "--csv"), "--json and --csv exclude each other"),
        (("pick", "tiny.yaml", "--knee"), "no study in 'runs/tiny'"),
        (("sync", "tiny.yaml"), "no study in 'runs/tiny'"),
    ],
)
def test_mistakes_in_the_command(project: Path, arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "exactly one rule picks: .* but got none"),
        (("--knee", "--trial", "3"), "exactly one rule picks: .* trial 3"),
        (("--minimize", "size_bytes"), "go together"),
        (("--weights", "accuracy"), "cannot read the weights 'accuracy'"),
        (("--weights", "nosuch=1"), "unknown metric 'nosuch'"),
        (("--trial", "99"), "no trial 99"),
    ],
)
def test_mistakes_in_the_rule(project: Path, options: tuple[str, ...], message: str) -> None:
    paretune("search", "tiny.yaml", "--trials", "2")
    assert re.search(message, refused("pick", "tiny.yaml", *options))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lokal",), "device 'lokal': no plugin 'lokal'.*; nearest is 'local'"),
        (("htp://pi",), "device 'htp://pi': no plugin 'htp'.*; nearest is 'http'"),
        (("http://",), "'http://' is no address; allowed are local, http://"),
        (("--runtime", "onnxrutime"), "no plugin 'onnxrutime' .*; nearest is 'onnxruntime'"),
        (("-o", "file/x.json"), "cannot write to the folder 'file': "),
        (("-o", "folder"), "--output: 'folder' is a folder; name the file to write"),
    ],
)
def test_mistakes_before_a_profile_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    found = refused("device", "profile", *arguments)
    assert re.search(message, found)
    assert "\n" not in found
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


def test_a_profile_of_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = paretune("device", "profile", "--threads", "0")
    assert result.exit_code == 2
    assert re.search("Invalid value for '--threads': .* 1", result.output)
    assert not list(tmp_path.iterdir())


def test_an_unknown_option_is_no_traceback(project: Path) -> None:
    result = paretune("search", "tiny.yaml", "--nosuch")
    assert result.exit_code == 2
    assert "No such option" in result.output


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
