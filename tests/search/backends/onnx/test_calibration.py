from pathlib import Path

import numpy as np
import pytest

from paretune.evaluators import Batch
from paretune.search.backends.onnx import OnnxBackend, OnnxPrepared
from paretune.search.backends.onnx.calibration import calibrate
from paretune.search.backends.onnx.ranges import Method
from paretune.search.backends.onnx.session import open_session, run
from tests.models import cnn, mlp
from tests.search.backends.onnx.zoo import images


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> OnnxPrepared:
    folder = tmp_path_factory.mktemp("calibration")
    return OnnxBackend().prepare(cnn(folder / "m.onnx"), BATCHES, folder / "cache", {})


BATCHES = [images(5, seed=1), images(3, seed=2)]
WHOLE = Batch({"image": np.concatenate([batch.inputs["image"] for batch in BATCHES])})


def test_ranges_do_not_depend_on_the_batches(prepared: OnnxPrepared, tmp_path: Path) -> None:
    graph, layers = prepared._parts.graph, list(prepared._parts.layers.values())
    split = calibrate(graph, layers, BATCHES, tmp_path / "split")
    whole = calibrate(graph, layers, [WHOLE], tmp_path / "whole")
    assert split.ranges.keys() == whole.ranges.keys()
    for name, found in split.ranges.items():
        assert found == pytest.approx(whole.ranges[name], rel=1e-5)
    values = {**WHOLE.inputs, **run(open_session(graph.model, list(whole.ranges)), WHOLE.inputs)}
    for layer in layers:
        array = values[layer.data]
        assert whole.ranges[layer.data] == pytest.approx((array.min(), array.max()))


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_other_methods_cut_tails(method: Method, tmp_path: Path) -> None:
    features = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    batches = [Batch({"x": features})]
    prepared = OnnxBackend().prepare(mlp(tmp_path / "m.onnx"), batches, tmp_path / "cache", {})
    graph, layers = prepared._parts.graph, list(prepared._parts.layers.values())
    widest = calibrate(graph, layers, batches, tmp_path).ranges
    found = calibrate(graph, layers, batches, tmp_path, method, 99.0).ranges
    assert found.keys() == widest.keys()
    narrower = 0
    for name, (low, high) in found.items():
        narrower += high - low < (widest[name][1] - widest[name][0]) * 0.999
        assert high > low
    assert narrower > len(found) / 2
