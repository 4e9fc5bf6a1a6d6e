"""Artifacts as models of MLflow."""

from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import onnxruntime

from paretune.search.tracking import register_trial
from tests.search.tracking.studies import OLD_SQLALCHEMY, apply

pytestmark = OLD_SQLALCHEMY


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
