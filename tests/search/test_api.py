"""The Python functions: the same as the command line, from a notebook."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import paretune
from paretune.errors import UserError
from paretune.evaluators import Metric, Splits, from_arrays
from paretune.search.config import load_config
from paretune.search.lock import StudyLock
from paretune.search.rule import NothingPicked
from paretune.search.workbench import Workbench, needs_no_device
from paretune.spaces import Precision
from tests.search.tiny import project, write

__all__ = ["project"]

SMALL: dict[str, Any] = {
    "objectives": ["accuracy", "size_bytes"],
    "space": {"precision": ["int8"], "sparsity": ["channel:0.5"]},
    "trials": 6,
    "progress": False,
}


def splits() -> Splits:
    rng = np.random.default_rng(0)

    def batches(count: int) -> Any:
        x = rng.standard_normal((count, 8)).astype(np.float32)
        return from_arrays({"x": x}, rng.integers(0, 4, count), batch_size=16)

    return Splits(batches(16), batches(48), batches(48))


def test_a_search_by_names(project: Path) -> None:
    study = paretune.tune(model="tiny.onnx", data="tiny_data:data", **SMALL)
    assert study.folder == Path("runs/tiny")
    assert len(study.trials) == 6
    assert set(study.trials["status"]) == {"complete"}
    assert study.front["confirmed"].all()
    assert study.front["test_accuracy"].notna().all()
    assert list(study.front["accuracy"]) == sorted(study.front["accuracy"], reverse=True)
    assert repr(study) == "Study('runs/tiny', 6 trials)"
    picked = study.pick(weights={"size_bytes": 1.0})
    assert picked.trial.number == study.front.sort_values("size_bytes")["trial"].iloc[0]
    assert picked.registered is None


def test_a_search_with_objects(project: Path) -> None:
    import torch
    from torch import nn

    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    size = Metric("size_bytes", "bytes", "minimize", "")
    given = {**SMALL, "objectives": ["accuracy", size], "metrics": ["agreement"]}
    study = paretune.tune(
        model=module,
        example_inputs={"x": torch.zeros(2, 8)},
        data=splits(),
        output="runs/objects",
        **given,
    )
    assert list(study.front.columns[:2]) == ["trial", "accuracy"]
    assert study.trials["agreement"].iloc[0] == 1.0
    assert study.pick(trial=0).model.is_file()
    # Another process needs the data again; the exported model is in the study.
    with pytest.raises(UserError, match="data: 'given from Python' is not of the form"):
        paretune.open_study("runs/objects").pick(trial=0)
    assert paretune.open_study("runs/objects", splits()).pick(trial=0).model.is_file()
    with pytest.raises(UserError, match="\n  data: was "):
        paretune.open_study("runs/objects", lambda: Splits(*[splits().search] * 3)).pick(trial=0)


def test_called_again_it_resumes(project: Path) -> None:
    first = paretune.tune(model="tiny.onnx", data="tiny_data:data", **SMALL)
    numbers = list(first.trials["policy"])
    again = paretune.tune(model="tiny.onnx", data="tiny_data:data", **{**SMALL, "trials": 8})
    assert list(again.trials["policy"])[:6] == numbers
    assert len(again.trials) == 8
    assert again.outcome is not None
    assert again.outcome.reason == "all 8 trials are done"
    assert paretune.open_study("runs/tiny").outcome is None


def test_a_function_is_remembered_by_its_name(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(project)
    from tiny_data import data  # type: ignore[import-not-found]

    study = paretune.tune(model="tiny.onnx", data=data, **SMALL)
    assert study.config().data == "tiny_data:data"
    assert paretune.open_study("runs/tiny").pick(knee=True).model.is_file()


def test_what_is_written_can_be_looked_at(project: Path) -> None:
    study = paretune.tune(model="tiny.onnx", data="tiny_data:data", **SMALL)
    written = {path.name for path in study.folder.iterdir()}
    assert {"front.html", "front.png", "front.csv", "trials.parquet", "config.yaml"} <= written
    assert "reference.onnx" not in written
    assert "scratch" not in written
    assert json.loads(study.front["policy"].iloc[0])["_type"] == "paretune.policy"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": 3}, "`model` must be an nn.Module, a function, a path"),
        ({"model": "tiny.onnx", "objectives": []}, "paretune.tune: objectives: must name at least"),
        ({"space": {"precison": ["int8"]}}, "paretune.tune: space.precison: unknown key"),
        ({"time": "soon"}, "paretune.tune: search.time: cannot read the time 'soon'"),
        ({"data": 3}, "data: the function must return Splits or a mapping"),
        ({"sampler": "x"}, "search.sampler: unknown sampler 'x'"),
        ({"devices": {"pi": "lokal"}}, "devices.pi: unknown type 'lokal'; nearest is 'local'"),
        ({"devices": {"a b": "local"}}, "paretune.tune: devices: a device's name begins with"),
    ],
)
def test_mistakes(project: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        paretune.tune(**{"model": "tiny.onnx", "data": "tiny_data:data", **SMALL, **changes})


def test_a_module_needs_example_inputs(project: Path) -> None:
    from torch import nn

    with pytest.raises(UserError, match="needs `example_inputs`"):
        paretune.tune(model=nn.Linear(8, 4), data=splits(), **SMALL)


def test_devices_may_be_switched_off_when_a_model_is_built_again(project: Path) -> None:
    gone = {"url": "http://127.0.0.1:9", "token": "t", "patience": 1}
    path = write(
        project,
        objectives=["accuracy", "latency_ms@gone"],
        metrics=["size_bytes", "load_ms@here"],
        devices={"gone": gone, "here": "local"},
    )
    config = load_config(path)
    with pytest.raises(UserError, match="device 'gone'"):
        Workbench.open(config)
    with Workbench.open(config, only=needs_no_device) as bench:
        assert [metric.name for metric in bench.suite.metrics] == ["accuracy", "size_bytes"]
        assert [m.name for m in bench.info.objectives] == ["accuracy", "latency_ms@gone"]
        whole = bench.apply(bench.space.uniform(Precision.FP32), project / "whole.onnx")
        assert bench.measure(whole, "search")[0].keys() == {"accuracy", "size_bytes"}


def test_exactly_one_rule_picks(project: Path) -> None:
    study = paretune.tune(model="tiny.onnx", data="tiny_data:data", **SMALL)
    with pytest.raises(UserError, match="exactly one rule picks"):
        study.pick()
    with pytest.raises(UserError, match="exactly one rule picks"):
        study.pick(knee=True, trial=1)
    with pytest.raises(UserError, match="go together"):
        study.pick(max_drop=0.1)
    with pytest.raises(NothingPicked, match="nearest is trial"):
        study.pick(max_drop=-1.0, minimize="size_bytes")


def test_a_folder_that_is_searched_is_not_searched_twice(project: Path) -> None:
    Path("runs/tiny").mkdir(parents=True)
    lock = StudyLock(Path("runs/tiny"))
    try:
        with pytest.raises(UserError, match="another search is working"):
            paretune.tune(model="tiny.onnx", data="tiny_data:data", **SMALL)
    finally:
        lock.close()


def test_there_is_no_other_attribute() -> None:
    assert "tune" in dir(paretune)
    with pytest.raises(AttributeError, match="has no attribute 'tuna'"):
        paretune.tuna  # noqa: B018
