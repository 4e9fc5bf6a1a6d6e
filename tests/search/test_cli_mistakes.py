"""Mistakes at the command line: one message each, and exit code 2."""

import re
from pathlib import Path
from typing import Any

import onnx
import pytest

from tests import models
from tests.search.command import paretune, refused
from tests.search.tiny import project, write

__all__ = ["project"]


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
