"""An artifact as a model of MLflow: ONNX flavour, with a signature, byte for byte."""

import shutil
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from paretune.evaluators import Artifact
from paretune.search.tracking.client import is_database

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.models import ModelSignature
    from onnx import GraphProto, ModelProto, ValueInfoProto

SHA256_TAG = "paretune.sha256"
_MODEL_TAG = "paretune.model_id"


def log_model(client: "MlflowClient", run_id: str, name: str, artifact: Artifact) -> str:
    """Make the artifact a model of the run, unless it is one already; returns the model's id.

    One that was begun and never finished is gone on with.
    """
    with warnings.catch_warnings():
        # About type hints of MLflow itself, when this module of its is first imported.
        warnings.filterwarnings("ignore", ".*Any type hint is inferred as AnyType")
        import mlflow.pyfunc  # noqa: F401
    import onnx
    from mlflow.entities import LoggedModelOutput

    run = client.get_run(run_id)
    logged = find_model(client, run, artifact.sha256)
    if logged is not None and str(logged.status) == "READY":
        return str(logged.model_id)
    logged = logged or client.create_logged_model(
        run.info.experiment_id,
        name=name,
        source_run_id=run_id,
        tags={SHA256_TAG: artifact.sha256},
        params=run.data.params,
        model_type="onnx",
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        _save(onnx.load(artifact.path), artifact, folder, logged.model_id, run_id)
        client.log_model_artifacts(logged.model_id, str(folder))
    outputs = () if run.outputs is None else run.outputs.model_outputs
    if logged.model_id not in [output.model_id for output in outputs]:
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    client.finalize_logged_model(logged.model_id, "READY")
    return str(logged.model_id)


def find_model(client: "MlflowClient", run: "Run", sha256: str) -> "LoggedModel | None":
    """The run's model with these bytes, whether it was logged to the end or not."""
    models = client.search_logged_models(
        [run.info.experiment_id], f"source_run_id = '{run.info.run_id}'"
    )
    same = [model for model in models if model.tags.get(SHA256_TAG) == sha256]
    return max(same, key=lambda model: str(model.status) == "READY", default=None)


def register_model(client: "MlflowClient", name: str, model_id: str, alias: str) -> str:
    """Make the logged model a version of the registered model `name`; returns the version.

    The alias moves to it. A model that is a version already is not registered again.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(name)
    except MlflowException:
        client.create_registered_model(name)
    versions = client.search_model_versions(f"name='{name}'")
    found = next((v for v in versions if v.tags.get(_MODEL_TAG) == model_id), None)
    if found is None:
        model = client.get_logged_model(model_id)
        # A server resolves the URI of a model itself and takes no path; on a database MLflow would
        # look the URI up in the process's global tracking store instead of this one.
        database = is_database(client.tracking_uri)
        source = model.artifact_location if database else f"models:/{model_id}"
        found = client.create_model_version(
            name,
            source,
            run_id=model.source_run_id,
            tags={_MODEL_TAG: model_id, SHA256_TAG: model.tags[SHA256_TAG]},
            await_creation_for=0,
            model_id=model_id,
        )
    client.set_registered_model_alias(name, alias, found.version)
    return str(found.version)


def signature(model: "ModelProto") -> "ModelSignature":
    """Names, types and shapes of inputs and outputs as the graph declares them, -1 where free."""
    from mlflow.models import ModelSignature
    from mlflow.types import Schema

    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    return ModelSignature(
        inputs=Schema([_spec(value) for value in inputs]),
        outputs=Schema([_spec(value) for value in _outputs(model.graph)]),
    )


def _save(model: "ModelProto", artifact: Artifact, folder: Path, model_id: str, run: str) -> None:
    import mlflow.onnx
    from mlflow.models import Model

    mlflow.onnx.save_model(
        model,
        str(folder),
        mlflow_model=Model(run_id=run, model_uuid=model_id, model_id=model_id),
        signature=signature(model),
        # Given, since MLflow would start a process and load the model to guess them.
        pip_requirements=[f"{name}=={version(name)}" for name in ("onnx", "onnxruntime")],
        onnx_execution_providers=["CPUExecutionProvider"],
        metadata={"sha256": artifact.sha256},
        save_as_external_data=False,
    )
    # MLflow writes the graph anew; what was measured is what ships.
    shutil.copyfile(artifact.path, folder / "model.onnx")


def _outputs(graph: "GraphProto") -> "list[ValueInfoProto]":
    return list(graph.output)


def _spec(value: "ValueInfoProto"):  # type: ignore[no-untyped-def]
    from mlflow.types import TensorSpec
    from onnx import helper

    tensor = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim)
    return TensorSpec(helper.tensor_dtype_to_np_dtype(tensor.elem_type), shape, value.name)
