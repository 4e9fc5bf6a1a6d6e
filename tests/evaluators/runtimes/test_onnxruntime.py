"""ONNX Runtime as a runtime: what it computes, its options and what it refuses."""

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from paretune.errors import InferenceError, UserError
from paretune.evaluators.data import Array
from paretune.evaluators.runtimes.onnxruntime import OnnxRuntime, OnnxRuntimePlugin
from paretune.evaluators.runtimes.runtime import GROUP
from paretune.plugins import load_plugin
from tests import models

FEEDS = {"x": np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)}
CPU = "CPUExecutionProvider"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return models.mlp(tmp_path / "model.onnx")


def test_the_plugin_makes_the_runtime() -> None:
    plugin = load_plugin(GROUP, "onnxruntime")
    assert plugin is OnnxRuntimePlugin
    runtime = plugin.create(1, {})
    assert (runtime.name, runtime.version) == (f"onnxruntime {CPU}", ort.__version__)


def test_runs_and_bound_runs_equal_a_plain_session(model: Path) -> None:
    expected = ort.InferenceSession(model, providers=[CPU]).run(None, FEEDS)
    loaded = OnnxRuntime().load(model)
    outputs = loaded.run(FEEDS)
    assert list(outputs) == ["logits"]
    np.testing.assert_array_equal(outputs["logits"], expected[0])
    bound: Any = loaded.bind(FEEDS)()
    np.testing.assert_array_equal(bound[0], expected[0])


@pytest.mark.parametrize(
    ("optimization", "nodes"), [("none", 3), ("basic", 3), ("extended", 2), ("all", 2)]
)
def test_optimization_levels(model: Path, tmp_path: Path, optimization: str, nodes: int) -> None:
    # Gemm and Relu are fused, or they are not.
    code = f"""
import json, sys
import numpy as np
import onnxruntime as ort
from pathlib import Path

plain = ort.SessionOptions

def profiled():
    options = plain()
    options.enable_profiling = True
    options.profile_file_prefix = {str(tmp_path / "profile")!r}
    return options

ort.SessionOptions = profiled
from paretune.evaluators.runtimes.onnxruntime import OnnxRuntimePlugin

model = OnnxRuntimePlugin.create(1, {{"optimization": {optimization!r}}}).load(Path({str(model)!r}))
model.run({{"x": np.ones((1, 8), np.float32)}})
print(model._session.end_profiling())
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    events = json.loads(Path(done.stdout.strip()).read_text())
    assert sum(event["name"].endswith("_kernel_time") for event in events) == nodes


def test_options_of_the_session_reach_it(model: Path) -> None:
    options = {"session": {"session.save_model_format": "ORT", "session.use_env_allocators": True}}
    runtime = OnnxRuntimePlugin.create(1, options)
    seen: dict[str, str] = {}

    class Options(ort.SessionOptions):  # type: ignore[misc]
        def add_session_config_entry(self, key: str, value: str) -> None:
            seen[key] = value
            super().add_session_config_entry(key, value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ort, "SessionOptions", Options)
        runtime.load(model)
    assert seen == {"session.save_model_format": "ORT", "session.use_env_allocators": "1"}


def test_two_threads_are_shared_by_all_sessions(model: Path) -> None:
    code = f"""
from pathlib import Path
from paretune.evaluators.runtimes.onnxruntime import OnnxRuntimePlugin

def threads():
    return len(list(Path("/proc/self/task").iterdir()))

runtime = OnnxRuntimePlugin.create(2, {{}})
first = runtime.load(Path({str(model)!r}))
with_one = threads()
second = runtime.load(Path({str(model)!r}))
print(threads() - with_one)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "0\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"provder": CPU}, "unknown option 'provder'; nearest is 'provider'; allowed are provider"),
        ({"provider": "CPU"}, f"unknown provider 'CPU'; .*allowed are .*{CPU}"),
        ({"provider": 3}, "'provider' must be text, but got 3"),
        ({"optimization": "most"}, "'optimization' must be one of all, .* but got 'most'"),
        ({"optimization": ["all"]}, "'optimization' must be one of all, .* but got"),
        ({"session": "fast"}, "'session' must be a mapping, but got 'fast'"),
        ({"provider_options": 1}, "'provider_options' must be a mapping, but got 1"),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^runtime 'onnxruntime': {message}"):
        OnnxRuntimePlugin.create(1, options)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="does not import .*; pip install onnxruntime"):
        OnnxRuntimePlugin.create(1, {})


def test_a_provider_that_does_not_start_is_no_cpu(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In the build, as far as it says, but this host has no such hardware.
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", CPU])
    runtime = OnnxRuntimePlugin.create(1, {"provider": "CUDAExecutionProvider"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(UserError, match="'CUDAExecutionProvider' does not start here"):
            runtime.load(model)


def test_what_it_refuses(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runtime = OnnxRuntime()
    broken = tmp_path / "broken.onnx"
    broken.write_text("no model")
    with pytest.raises(InferenceError, match=r"ONNX Runtime cannot load '.*broken.onnx'"):
        runtime.load(broken)
    loaded = runtime.load(models.two_inputs(tmp_path / "two.onnx", vocabulary=20))
    good: dict[str, Array] = {"ids": np.zeros((1, 5), np.int64), "mask": np.ones((1, 5), "f")}
    assert list(loaded.run(good)) == ["tokens", "logits"]
    with pytest.raises(InferenceError, match=r"cannot run the model: .*out of data bounds"):
        loaded.run({**good, "ids": np.full((1, 5), 20)})
    assert capfd.readouterr().err == ""
