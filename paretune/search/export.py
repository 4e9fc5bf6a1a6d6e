"""Exporting a PyTorch module to ONNX, also as a process of its own.

`python -m paretune.search.export package.module:function TARGET` prints the model's path on its
last line. A process of its own keeps torch and the user's training out of the search's memory.
"""

import ast
import inspect
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import torch
from torch import Tensor, nn

from paretune.errors import UserError
from paretune.evaluators.processes.serving import ended_with_owner
from paretune.importing import call_object, import_object

OPSET = 21
_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Gather"})


def export_model(made: Any, target: Path) -> Path:
    """Write a module as ONNX with a dynamic batch dimension, and check that it computes the same.

    Args:
        made: what a user's model function returns: a module with its example inputs, or the path
            of an ONNX file. Example inputs are a mapping of input names to tensors in the order of
            `forward`, or a tensor or tuple of tensors that are named as in `forward`. Their first
            dimension counts samples.
        target: the file to write.

    Returns:
        `target`, or the path that was given.

    Raises:
        UserError: `made` is something else, cannot be exported, or computes something else in ONNX
            Runtime.
    """
    if isinstance(made, str | Path):
        return Path(made)
    if not (isinstance(made, tuple | list) and len(made) == 2 and isinstance(made[0], nn.Module)):
        raise UserError(
            "model: the function must return (nn.Module, example inputs) or the path of an ONNX"
            f" file, but got {type(made).__name__}"
        )
    module = made[0].eval().cpu()
    inputs = {name: _two_samples(x) for name, x in _named_inputs(module, made[1]).items()}
    with torch.no_grad():
        expected = _named_outputs(module(*inputs.values()))
    batch = torch.export.Dim.DYNAMIC
    partial = target.with_name(f".{target.name}.partial")
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                tuple(inputs.values()),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(expected),
                dynamic_shapes=tuple({0: batch} for _ in inputs),
                verbose=False,
            )
        assert program is not None
        _name_layers(program.model)
        program.save(str(partial), external_data=False)
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        raise UserError(
            f"model: {type(module).__name__} cannot be exported to ONNX:"
            f" {type(error).__name__}: {lines[0]}"
        ) from error
    _check_same(partial, inputs, expected)
    partial.replace(target)
    return target


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks about packages that it could also support."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _name_layers(model: ir.Model) -> None:
    """Name the nodes that own weights after their modules, as the exporter noted them."""
    taken: set[str] = set()
    for node in model.graph:
        scopes = node.metadata_props.get("pkg.torch.onnx.name_scopes")
        owns = any(value is not None and value.is_initializer() for value in node.inputs)
        if scopes and owns and node.op_type in _WEIGHTED:
            # Outermost module first; the last entry is the operation itself.
            module = ast.literal_eval(scopes)[-2]
            if module and module not in taken:
                taken.add(module)
                node.name = module


def _named_inputs(module: nn.Module, given: Any) -> dict[str, Tensor]:
    if isinstance(given, Mapping):
        named = dict(given)
    else:
        tensors = given if isinstance(given, tuple | list) else (given,)
        named = dict(zip(inspect.signature(module.forward).parameters, tensors, strict=False))
    if not named or not all(isinstance(x, Tensor) and x.ndim for x in named.values()):
        raise UserError(
            "model: example inputs must be tensors whose first dimension counts samples, but got"
            f" {type(given).__name__}"
        )
    return named


def _two_samples(tensor: Tensor) -> Tensor:
    # torch.export takes a dimension of 1 for a constant.
    return tensor if len(tensor) > 1 else torch.cat([tensor, tensor])


def _named_outputs(outputs: Any) -> dict[str, Tensor]:
    if isinstance(outputs, Tensor):
        return {"output": outputs}
    if isinstance(outputs, Mapping):
        return {str(name): x for name, x in outputs.items() if isinstance(x, Tensor)}
    return {f"output_{i}": x for i, x in enumerate(outputs) if isinstance(x, Tensor)}


def _check_same(path: Path, inputs: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    known = {value.name for value in session.get_inputs()}
    feed = {name: x.numpy() for name, x in inputs.items() if name in known}
    outputs = session.run(list(expected), feed)
    for (name, want), got in zip(expected.items(), outputs, strict=True):
        wanted = want.numpy()
        tolerance = 1e-3 * float(1 + np.abs(wanted).max())
        if not np.allclose(got, wanted, rtol=1e-3, atol=tolerance):
            raise UserError(
                f"model: the exported ONNX file computes another '{name}' than the module"
                f" (largest difference {float(np.abs(got - wanted).max()):g})"
            )


def main() -> int:
    spec, target = sys.argv[1:]
    with ended_with_owner():
        return _export(spec, Path(target))


def _export(spec: str, target: Path) -> int:
    try:
        made = call_object("model", import_object(spec, what="model"))
        path = export_model(made, target)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"\n{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
