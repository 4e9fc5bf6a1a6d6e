"""The config: what it takes, what it refuses, and in what words."""

from pathlib import Path
from typing import Any

import pytest

from paretune.errors import UserError
from paretune.search.cli.overrides import overridden
from paretune.search.config import DEFAULT_TRIALS, Config, load_config
from paretune.search.constraint import Constraint
from paretune.spaces import NM, Channel, LayerRule, Precision

LEAST: dict[str, Any] = {"name": "c", "model": "m:f", "data": "d:f", "objectives": ["accuracy"]}

FULL = """
name: digits
model: experiments.digits:model
data: experiments.digits:data
objectives: [accuracy, latency_ratio]
constraints: ["accuracy_drop <= 0.10"]
metrics: [size_bytes]
space:
  precision: [int8, w4]
  sparsity: [2:4, channel:0.25]
  layers:
    "re:head": {precision: [fp32]}
    conv1: {sparsity: []}
  grain: 16
search: {sampler: tpe, trials: 300, time: 1h30m, seed: 7}
evaluators: [{type: latency, threads: 2}]
backend: {type: onnx, calibration: entropy}
tracking: {uri: null, experiment: other, all_trials: true}
output: runs/elsewhere
"""


def of(**changes: Any) -> Config:
    return Config.of({**LEAST, **changes}, Path(), "c.yaml")


def written(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_key_is_read(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, FULL))
    assert config.name == "digits"
    assert config.objectives == ("accuracy", "latency_ratio")
    assert config.constraints == (Constraint("accuracy_drop", "<=", 0.1),)
    assert config.space.precision == (Precision.INT8, Precision.W4)
    # YAML 1.1 would read 2:4 as the number 124.
    assert config.space.sparsity == (NM(2, 4), Channel(0.25))
    assert config.space.rules == (
        LayerRule("re:head", (Precision.FP32,), None),
        LayerRule("conv1", None, ()),
    )
    assert (config.search.sampler, config.search.seed) == ("tpe", 7)
    assert (config.search.trials, config.search.time) == (300, 5400.0)
    assert config.search.racing
    assert config.configured_evaluators == [{"type": "latency", "options": {"threads": 2}}]
    assert config.backend.options == {"calibration": "entropy"}
    assert not config.tracking.active
    assert config.output == Path("runs/elsewhere")
    assert config.base == tmp_path
    assert config.wanted == ("accuracy", "latency_ratio", "accuracy_drop", "size_bytes")


def test_defaults(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, "model: a.onnx\ndata: d:f\nobjectives: [accuracy]\n"))
    assert config.name == "study"
    assert config.output == Path("runs/study")
    assert config.space.precision == Precision.USUAL
    assert config.space.sparsity == (Channel(0.25), Channel(0.5))
    assert (config.search.trials, config.search.time) == (DEFAULT_TRIALS, None)
    assert config.tracking.active


def test_a_time_alone_is_the_whole_budget() -> None:
    assert of(search={"time": "8h"}).search.trials is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("8h", 28800.0), ("90m", 5400.0), ("45s", 45.0), ("1h30m", 5400.0)]
)
def test_times(text: str, seconds: float) -> None:
    assert of(search={"time": text}).search.time == seconds


def test_what_is_stored_is_read_back(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, FULL))
    stored = config.model_dump(mode="json")
    assert Config.of(stored, config.base, "stored") == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"smapler": "tpe"}, "smapler: unknown key 'smapler'; nearest is 'search.sampler'"),
        ({"search": {"racing": "often"}}, "search.racing: must be true or false, but got 'often'"),
        ({"search": {"smapler": "tpe"}}, "search.smapler: unknown key .* nearest is 'sampler'"),
        ({"objectvies": ["x"]}, "objectvies: unknown key .* nearest is 'objectives'; allowed are"),
        ({"xyz": 1}, "xyz: unknown key 'xyz'; allowed are name, model"),
        (
            {"space": {"layers": {"re:x": {"precison": ["int8"]}}}},
            "space.layers.re:x.precison: unknown key .* nearest is 'precision'",
        ),
        ({"search": {"trials": "many"}}, "search.trials: must be a whole number, but got 'many'"),
        ({"search": {"trials": True}}, "search.trials: must be a whole number, but got True"),
        ({"search": {"trials": 1.5}}, "search.trials: must be a whole number, but got 1.5"),
        ({"search": {"trials": 0}}, "search.trials: must be greater than 0, but got 0"),
        ({"search": {"time": "8 hours"}}, "search.time: cannot read the time '8 hours'"),
        ({"search": {"time": -3}}, "search.time: must be greater than 0, but got -3"),
        ({"search": {"time": [1]}}, r"search.time: must be text, but got \[1\]"),
        ({"search": 5}, "search: must be a mapping, but got 5"),
        ({"objectives": "accuracy"}, "objectives: must be a list, but got 'accuracy'"),
        ({"objectives": []}, "objectives: must name at least one"),
        ({"objectives": ["a", "a"]}, "objectives: must not repeat itself, but got a, a"),
        ({"objectives": [1]}, r"objectives\[0\]: must be text, but got 1"),
        ({"constraints": ["a < 3"]}, r"constraints\[0\]: cannot read the constraint 'a < 3'"),
        ({"constraints": [3]}, r"constraints\[0\]: must be text, but got 3"),
        ({"space": {"precision": ["int9"]}}, r"space.precision\[0\]: unknown precision 'int9'"),
        ({"space": {"sparsity": ["channel:2"]}}, r"space.sparsity\[0\]: .* 0 <= amount < 1"),
        ({"space": {"sparsity": [124]}}, r"space.sparsity\[0\]: must be text, but got 124"),
        ({"space": {"layers": ["a"]}}, "space.layers: must be a mapping"),
        ({"space": {"grain": 0}}, "space.grain: must be greater than 0"),
        ({"evaluators": ["accuracy"]}, r"evaluators\[0\]: must be a mapping, but got 'accuracy'"),
        ({"evaluators": [{"threads": 1}]}, r"the key 'evaluators\[0\].type' is missing"),
        (
            {"tracking": {"enabled": "yes"}},
            "tracking.enabled: must be true or false, but got 'yes'",
        ),
        ({"name": 3}, "name: must be text, but got 3"),
        ({"name": ""}, "name: must have at least 1 character"),
        ({"output": 3}, "output: must be a path, but got 3"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        of(**changes)
    assert str(caught.value).startswith("c.yaml: ")
    assert "\n" not in str(caught.value)


def test_each_missing_key_is_one_line() -> None:
    with pytest.raises(UserError) as caught:
        Config.of({"name": "x", "search": {"trials": "a"}}, Path(), "c.yaml")
    assert str(caught.value).splitlines() == [
        "c.yaml: the key 'model' is missing",
        "c.yaml: the key 'data' is missing",
        "c.yaml: the key 'objectives' is missing",
        "c.yaml: search.trials: must be a whole number, but got 'a'",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "is not YAML"),
        ("", "a config is a mapping of keys to values, but got nothing"),
        ("- a\n", "a config is a mapping of keys to values, but got a list"),
        ("model: a\nmodel: b\n", r"the key 'model' is given twice \(line 2\)"),
        ("space: {layers: {a: {}, a: {}}}", "the key 'a' is given twice"),
        ("a: !!python/object/apply:os.getcwd []", "is not YAML"),
    ],
)
def test_files_that_are_no_config(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_config(written(tmp_path, text))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no config file '.*nothing.yaml'"):
        load_config(tmp_path / "nothing.yaml")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the config file"):
        load_config(tmp_path)


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    text = "model: m:f\ndata: d:f\nobjectives: [a]\nsearch: {time: 1e3, trials: 10}\n"
    config = load_config(written(tmp_path, text))
    assert (config.search.time, config.search.trials) == (1000.0, 10)


def test_options_are_checked_as_the_config_is() -> None:
    changed = overridden(of(), trials=5, seed=3, budget=None, cluster="local:2")
    assert (changed.search.trials, changed.search.seed) == (5, 3)
    assert str(changed.search.cluster) == "local:2"
    with pytest.raises(UserError, match=r"the options: seed: .* less than or equal to 2147483647"):
        overridden(of(), seed=1 << 32)
