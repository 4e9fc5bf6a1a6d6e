"""Cleaning: load a model, check it, and bring it into the one form that the backend works on."""

import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx.inliner
import onnxruntime as ort
from google.protobuf.message import DecodeError
from onnx import ModelProto, NodeProto, helper, version_converter

from paretune.errors import UserError
from paretune.search.backends.onnx.graph import (
    MIN_OPSET,
    Array,
    Constants,
    attributes,
    domains,
    drop_unused_constants,
    name_after_weights,
    name_nodes,
    opset,
    put_constant,
    replace_nodes,
    unused_name,
)

_MAX_BYTES = 2**31 - 1


def load_model(path: Path) -> ModelProto:
    """Read and check an ONNX file, with its external data.

    Raises:
        UserError: the file is missing, truncated, no ONNX, invalid, over 2 GiB, or its external
            data is missing.
    """
    if not path.is_file():
        raise UserError(f"model '{path}' does not exist")
    if path.stat().st_size == 0:
        raise UserError(f"model '{path}' is empty")
    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise UserError(f"model '{path}' is no ONNX file, or a truncated one: {error}") from None
    if not model.graph.node or not model.opset_import:
        raise UserError(f"model '{path}' is no ONNX file: it holds no graph")
    _require_one_opset(path, model)
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            location = next((e.value for e in tensor.external_data if e.key == "location"), "")
            if not (path.parent / location).is_file():
                raise UserError(
                    f"model '{path}' keeps the weight '{tensor.name}' in '{location}',"
                    f" but there is no such file in '{path.parent}'"
                )
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, RuntimeError, onnx.checker.ValidationError) as error:
        raise UserError(f"model '{path}': its external data cannot be read: {error}") from None
    for tensor in model.graph.initializer:
        # The same model has the same bytes, wherever its weights were.
        tensor.ClearField("data_location")
    if model.ByteSize() > _MAX_BYTES:
        raise UserError(f"model '{path}' is over 2 GiB, more than one ONNX file can hold")
    try:
        onnx.checker.check_model(model)
    # What it says may hold names of the file's that are no text.
    except (onnx.checker.ValidationError, UnicodeDecodeError) as error:
        raise UserError(f"model '{path}' is not valid ONNX: {_first_line(error)}") from None
    return model


def _require_one_opset(path: Path, model: ModelProto) -> None:
    """The default operator set has two names, under which a file may ask for two versions."""
    versions = [str(o.version) for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if len(versions) > 1:
        raise UserError(
            f"model '{path}' is not valid ONNX: it asks for opset {' and '.join(versions)} at once"
        )


def clean_model(model: ModelProto) -> ModelProto:
    """Fold constants and normalization into the layers and give all layers one form.

    ONNX Runtime's own basic optimizations do the folding. Then: opset 21 or newer, unique node
    names, `Gemm` as x @ W + b with W of shape (in, out).

    Raises:
        UserError: ONNX Runtime refuses the model.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    for value in [v for v in model.graph.input if v.name in constants]:
        # Before IR version 4 every constant was listed as an input, too, which forbids folding it.
        model.graph.input.remove(value)
    model.ir_version = max(model.ir_version, 10)
    if model.functions:
        # Converting a model to another opset leaves its functions behind.
        model = onnx.inliner.inline_local_functions(model)
    name_after_weights(model)
    # ONNX Runtime refuses two nodes of the same name.
    name_nodes(model)
    model = _fold(_upgrade(model))
    used = domains(model.graph.node) | {""}
    for unused in [o for o in model.opset_import if o.domain not in used]:
        model.opset_import.remove(unused)
    del model.graph.value_info[:]
    name_nodes(model)
    arrays = Constants(model.graph)
    for node in model.graph.node:
        _drop_trailing_blanks(node)
        if node.op_type == "Gemm":
            _canonical_gemm(model, node, arrays)
    drop_unused_constants(model)
    return model


def simplify_shapes(
    model: ModelProto, shapes: dict[str, tuple[int, ...]], float32: Collection[str]
) -> None:
    """Replace nodes by ones whose channel count may change later and that run in int8.

    A `Reshape` that only flattens (N, C, ...) becomes `Flatten`; a `ReduceMean` over height and
    width becomes `GlobalAveragePool`.

    Args:
        model: changed in place.
        shapes: of every tensor, as observed; shapes of new tensors are added.
        float32: the tensors of that type; ONNX Runtime pools no other.
    """
    constants = Constants(model.graph)
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        before, after = (
            shapes.get(node.input[0], ()) if node.input else (),
            shapes.get(node.output[0]),
        )
        flat = len(before) > 2 and after == (before[0], int(np.prod(before[1:])))
        if node.op_type == "Reshape" and flat:
            nodes.append(
                helper.make_node("Flatten", node.input[:1], node.output, node.name, axis=1)
            )
        elif (
            node.op_type == "ReduceMean"
            and node.input[0] in float32
            and len(before) == 4
            and _over_space(node, constants)
        ):
            pooled = node.output[0]
            if not attributes(node).get("keepdims", 1):
                pooled = unused_name(model, f"{node.output[0]}:pooled")
                shapes[pooled] = (*before[:2], 1, 1)
            nodes.append(helper.make_node("GlobalAveragePool", node.input[:1], [pooled], node.name))
            if pooled != node.output[0]:
                name = unused_name(model, f"{node.name}:flatten")
                nodes.append(helper.make_node("Flatten", [pooled], node.output, name, axis=1))
        else:
            nodes.append(node)
    replace_nodes(model, nodes)
    drop_unused_constants(model)


def _upgrade(model: ModelProto) -> ModelProto:
    if opset(model) >= MIN_OPSET:
        return model
    try:
        return version_converter.convert_version(model, MIN_OPSET)
    except (
        version_converter.ConvertError,
        onnx.shape_inference.InferenceError,
        RuntimeError,
        ValueError,
        onnx.checker.ValidationError,
    ) as error:
        raise UserError(
            f"the model has opset {opset(model)} and cannot be converted to {MIN_OPSET}:"
            f" {_first_line(error)}"
        ) from None


def _fold(model: ModelProto) -> ModelProto:
    with tempfile.TemporaryDirectory(prefix="paretune-") as folder:
        target = Path(folder) / "clean.onnx"
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(target)
        options.log_severity_level = 4
        try:
            ort.InferenceSession(
                model.SerializeToString(),
                options,
                providers=["CPUExecutionProvider"],
                # It puts Reshape, Gemm, Reshape in the place of one MatMul and Add.
                disabled_optimizers=["MatMulAddFusion"],
            )
        except Exception as error:  # noqa: BLE001 - its errors share no other base class
            raise UserError(f"ONNX Runtime refuses the model: {_first_line(error)}") from None
        return onnx.load(target)


def _drop_trailing_blanks(node: NodeProto) -> None:
    """Leave optional inputs and outputs out that are given as empty names.

    ONNX Runtime fails on an int8 MaxPool whose indices are such a name.
    """
    for names in (node.input, node.output):
        while names and not names[-1]:
            del names[-1]


def _canonical_gemm(model: ModelProto, node: NodeProto, constants: Mapping[str, Array]) -> None:
    values = attributes(node)
    weight = constants.get(node.input[1])
    has_bias = len(node.input) > 2 and bool(node.input[2])
    bias = constants.get(node.input[2]) if has_bias else None
    if weight is None or values.get("transA", 0) or (has_bias and bias is None):
        return
    weight = weight.T if values.get("transB", 0) else weight
    if bias is not None:
        row = bias.shape[-1:] in ((), (bias.size,))
        if not row or bias.size not in (1, weight.shape[1]):
            return
        bias = np.broadcast_to(bias.reshape(-1), weight.shape[1:])
        node.input[2] = unused_name(model, f"{node.name}:bias")
        put_constant(model, node.input[2], bias * bias.dtype.type(values.get("beta", 1.0)))
    # A constant of the node's own: another node may read the old one as it was.
    node.input[1] = unused_name(model, f"{node.name}:weight")
    put_constant(model, node.input[1], weight * weight.dtype.type(values.get("alpha", 1.0)))
    del node.attribute[:]


def _over_space(node: NodeProto, constants: Mapping[str, Array]) -> bool:
    axes = constants.get(node.input[1]) if len(node.input) > 1 else None
    return axes is not None and sorted(int(a) % 4 for a in axes.reshape(-1)) == [2, 3]


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def same_outputs(left: Mapping[str, Array], right: Mapping[str, Array]) -> bool:
    """Whether two runs agree as closely as reordered float arithmetic allows."""
    return all(
        np.allclose(left[name], right[name], rtol=1e-3, atol=1e-3 * (1 + np.abs(left[name]).max()))
        for name in left
        if left[name].dtype.kind == "f"
    )
