"""What comes in: every opset and form of model, and each way that a file can be unusable."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from paretune.errors import UserError
from paretune.evaluators import Batch
from paretune.search.backends.onnx import OnnxBackend
from paretune.search.backends.onnx.cleaning import load_model
from tests.models import cnn, floats, mlp, nan_model, save, two_inputs
from tests.search.backends.onnx.running import largest_difference, outputs
from tests.search.backends.onnx.zoo import images, texts


@pytest.mark.parametrize("opset", [11, 12, 13, 15, 17, 18, 20, 21, 22, 24])
def test_opsets(opset: int, tmp_path: Path) -> None:
    for build, batch in ((cnn, images()), (two_inputs, texts())):
        original = build(tmp_path / "model.onnx", opset=opset)
        prepared = OnnxBackend().prepare(original, [batch], tmp_path / "cache", {})
        found = outputs(prepared.reference.path, batch)
        assert largest_difference(found, outputs(original, batch)) < 1e-5
        assert {layer.name for layer in prepared.layers} in (
            {"stem", "block.a", "block.b", "down", "head"},
            {"embed", "proj", "head"},
        )


def test_external_data(tmp_path: Path) -> None:
    inside = cnn(tmp_path / "inside.onnx")
    outside = tmp_path / "outside.onnx"
    onnx.save(onnx.load(inside), outside, save_as_external_data=True, size_threshold=0)
    prepared = OnnxBackend().prepare(outside, [images()], tmp_path / "cache", {})
    again = OnnxBackend().prepare(inside, [images()], tmp_path / "cache", {})
    assert prepared.reference.sha256 == again.reference.sha256
    next(p for p in tmp_path.iterdir() if p.suffix not in (".onnx", "") and p.is_file()).unlink()
    with pytest.raises(UserError, match="keeps the weight '.*' in '.*', but there is no such file"):
        load_model(outside)


def test_constants_that_are_also_inputs_are_folded(tmp_path: Path) -> None:
    model = onnx.load(cnn(tmp_path / "model.onnx", opset=11))
    for tensor in model.graph.initializer:
        model.graph.input.append(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )
    model.ir_version = 3
    onnx.save(model, tmp_path / "old.onnx")
    prepared = OnnxBackend().prepare(tmp_path / "old.onnx", [images()], tmp_path / "cache", {})
    assert [value.name for value in onnx.load(prepared.reference.path).graph.input] == ["image"]


def test_fixed_batch_dimension(tmp_path: Path) -> None:
    model = onnx.load(cnn(tmp_path / "model.onnx"))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(model, tmp_path / "fixed.onnx")
    batches = [images(4, seed=seed) for seed in range(2)]
    prepared = OnnxBackend().prepare(tmp_path / "fixed.onnx", batches, tmp_path / "cache", {})
    free = OnnxBackend().prepare(tmp_path / "model.onnx", batches, tmp_path / "cache", {})
    assert [x.macs for x in prepared.layers] == [x.macs for x in free.layers]


def test_macs(tmp_path: Path) -> None:
    prepared = OnnxBackend().prepare(cnn(tmp_path / "m.onnx"), [images()], tmp_path / "cache", {})
    assert {layer.name: layer.macs for layer in prepared.layers} == {
        "stem": 12 * 12 * 8 * 27,
        "block.a": 12 * 12 * 8 * 72,
        "block.b": 12 * 12 * 8 * 72,
        "down": 6 * 6 * 16 * 72,
        "head": 16 * 4,
    }


def test_gemm_with_factors_and_transposed_weight(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    node = helper.make_node(
        "Gemm", ["x", "w", "b"], ["logits"], "fc", transB=1, alpha=0.5, beta=2.0
    )
    path = save(
        tmp_path / "gemm.onnx",
        [node],
        {"x": (TensorProto.FLOAT, ["batch", 8])},
        {"logits": (TensorProto.FLOAT, ["batch", 4])},
        {"w": floats(rng, 4, 8), "b": floats(rng, 1)},
    )
    batch = Batch({"x": rng.standard_normal((5, 8)).astype(np.float32)})
    prepared = OnnxBackend().prepare(path, [batch], tmp_path / "cache", {})
    assert prepared.layers[0].weight_shape == (8, 4)
    found = outputs(prepared.reference.path, batch)
    assert largest_difference(found, outputs(path, batch)) < 1e-6


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_unusable_files(tmp_path: Path) -> None:
    good = cnn(tmp_path / "good.onnx")
    with pytest.raises(UserError, match=r"'.*none.onnx' does not exist"):
        load_model(tmp_path / "none.onnx")
    with pytest.raises(UserError, match="is empty"):
        load_model(_write(tmp_path / "empty.onnx", b""))
    content = good.read_bytes()
    for cut in (10, len(content) // 2, len(content) - 1):
        with pytest.raises(UserError, match="no ONNX|not valid ONNX|holds no graph"):
            load_model(_write(tmp_path / "cut.onnx", content[:cut]))
    with pytest.raises(UserError, match="no ONNX"):
        load_model(_write(tmp_path / "text.onnx", b"this is not a model"))
    broken = onnx.load(good)
    broken.graph.node[0].input[0] = "nowhere"
    onnx.save(broken, tmp_path / "broken.onnx")
    with pytest.raises(UserError, match="not valid ONNX.*nowhere"):
        load_model(tmp_path / "broken.onnx")


def test_an_opset_newer_than_the_runtime(tmp_path: Path) -> None:
    model = onnx.load(mlp(tmp_path / "m.onnx"))
    model.opset_import[0].version = 99
    onnx.save(model, tmp_path / "new.onnx")
    with pytest.raises(UserError, match="99"):
        OnnxBackend().prepare(tmp_path / "new.onnx", [images()], tmp_path / "cache", {})


def test_nan_in_the_reference(tmp_path: Path) -> None:
    batch = Batch({"x": np.random.default_rng(0).standard_normal((16, 8)).astype(np.float32)})
    with pytest.raises(UserError, match="NaN or infinity on the calibration data"):
        OnnxBackend().prepare(nan_model(tmp_path / "nan.onnx"), [batch], tmp_path / "cache", {})


def test_unknown_option(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="backend: calibration: must be 'minmax', .*, but got 'guess'"
    ):
        OnnxBackend().prepare(
            cnn(tmp_path / "m.onnx"), [images()], tmp_path / "cache", {"calibration": "guess"}
        )
    with pytest.raises(
        UserError, match="backend: calibraton: unknown key 'calibraton'; nearest is 'calibration'"
    ):
        OnnxBackend().prepare(
            cnn(tmp_path / "m.onnx"), [images()], tmp_path / "cache", {"calibraton": "minmax"}
        )
