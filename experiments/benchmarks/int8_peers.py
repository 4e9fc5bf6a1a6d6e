"""Uniform int8 against ONNX Runtime's static quantizer and NNCF, on the same calibration data.

All three quantize the same fp32 graph, every layer that has an int8 kernel. Quality is that of the
experiment on the split; the latency of each is its ratio to fp32, measured by the one protocol.
Needs the extra `benchmarks`.

Run: python -m experiments.benchmarks.int8_peers [EXPERIMENT ...]
     python -m experiments.benchmarks.int8_peers ppocr_lines --data experiments.ppocr_lines:many
"""

import argparse
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from experiments.benchmarks.laboratory import Laboratory, everywhere, measured
from experiments.benchmarks.setting import EXPERIMENTS
from paretune.evaluators import Batch, SplitName
from paretune.search.backends.onnx import OnnxPrepared
from paretune.spaces import Choice, Precision

LATENCY = "latency_ratio"


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, inputs: list[dict[str, Any]]) -> None:
        self.left: Iterator[Any] = iter(inputs)

    def get_next(self) -> Any:
        return next(self.left, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiments", nargs="*", default=EXPERIMENTS, metavar="EXPERIMENT")
    parser.add_argument("--split", choices=("search", "test"), default="test")
    parser.add_argument("--data", help="module:function, instead of the experiment's own data")
    given = parser.parse_args()
    changes = {"data": given.data} if given.data else {}
    logging.disable(logging.WARNING)
    table: dict[str, dict[str, dict[str, float]]] = {}
    for name in given.experiments:
        with tempfile.TemporaryDirectory() as folder:
            table[name] = _compare(Laboratory.of(name, Path(folder), **changes), given.split)
    print(json.dumps(table))


def _compare(laboratory: Laboratory, split: SplitName) -> dict[str, dict[str, float]]:
    prepared = laboratory.prepare()
    policy = everywhere(prepared, Choice(Precision.INT8))
    inputs = [_fed(prepared, batch) for batch in laboratory.splits.calibration]
    folder, reference = laboratory.folder, prepared.reference
    ours = prepared.apply(policy, folder / "paretune.onnx").path
    files = {
        "fp32": reference.path,
        "paretune": ours,
        "onnxruntime": _static(reference.path, inputs, folder / "onnxruntime.onnx"),
        "nncf": _nncf(reference.path, inputs, folder / "nncf.onnx"),
    }
    found: dict[str, dict[str, float]] = {}
    print(f"{laboratory.config.name}\n  {'':14}{laboratory.quality:>14}{'ratio to fp32':>16}")
    with laboratory.suite(prepared, [laboratory.quality, LATENCY]) as suite:
        for name, path in files.items():
            values = measured(suite, path, policy, split)
            found[name] = {k: round(values[k], 5) for k in (laboratory.quality, LATENCY)}
            print(
                f"  {name:14}{values[laboratory.quality]:14.4f}{values[LATENCY]:16.3f}",
                flush=True,
            )
    return found


def _fed(prepared: OnnxPrepared, batch: Batch) -> dict[str, Any]:
    known = {value.name for value in onnx.load(prepared.reference.path).graph.input}
    return {name: array for name, array in batch.inputs.items() if name in known}


def _static(model: Path, inputs: list[dict[str, Any]], path: Path) -> Path:
    quantize_static(
        model,
        path,
        _Reader(inputs),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return path


def _nncf(model: Path, inputs: list[dict[str, Any]], path: Path) -> Path:
    import nncf

    # Its default of 300 samples counts the batches of its dataset.
    singles: list[Mapping[str, Any]] = [
        {name: array[i : i + 1] for name, array in batch.items()}
        for batch in inputs
        for i in range(len(next(iter(batch.values()))))
    ]
    found = nncf.quantize(onnx.load(model), nncf.Dataset(singles), subset_size=len(singles))
    draft = path.with_suffix(".draft.onnx")
    onnx.save(found, draft)
    options = SessionOptions()
    options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path)
    # ONNX Runtime 1.31 does not load what NNCF makes of a transformer: as it moves quantizers over
    # a Slice or a Reshape, it gives them a type that their zero points do not have. Without that
    # step it does, and what it makes of the file then loads everywhere.
    InferenceSession(draft, options, disabled_optimizers=["QDQPropagationTransformer"])
    return path


if __name__ == "__main__":
    main()
