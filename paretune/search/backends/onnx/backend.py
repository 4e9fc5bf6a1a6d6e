"""The ONNX backend: post-training compression of ONNX graphs."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from paretune.errors import UserError
from paretune.evaluators import Batch
from paretune.files import write_whole
from paretune.search.backends.onnx.assembly import Parts
from paretune.search.backends.onnx.calibration import Statistics, calibrate, observe
from paretune.search.backends.onnx.channels import map_channels
from paretune.search.backends.onnx.cleaning import (
    clean_model,
    load_model,
    same_outputs,
    simplify_shapes,
)
from paretune.search.backends.onnx.freeing import return_freed_memory
from paretune.search.backends.onnx.graph import Array, Constants, Graph, fixes_batch
from paretune.search.backends.onnx.layers import WeightedNode, find_layers
from paretune.search.backends.onnx.options import OnnxOptions
from paretune.search.backends.onnx.pieces import PieceStore
from paretune.search.backends.onnx.prepared import OnnxPrepared
from paretune.search.backends.onnx.pruning import channel_order
from paretune.search.backends.onnx.session import open_session, run
from paretune.validation import parse_options

FORMAT = 2
"""Raise it when artifacts change although nothing that the user gave did."""


class OnnxBackend:
    """Turns policies into ONNX files without training."""

    def prepare(
        self,
        model: Path,
        calibration: Sequence[Batch],
        cache: Path,
        options: Mapping[str, Any],
    ) -> OnnxPrepared:
        """Clean the graph, find layers and groups, calibrate. See `Backend.prepare`."""
        chosen = parse_options(OnnxOptions, options, "backend")
        loaded = load_model(model)
        if not calibration:
            raise UserError("the calibration split holds no samples")
        fingerprint = _fingerprint(loaded, calibration, chosen)
        folder = cache / fingerprint
        folder.mkdir(parents=True, exist_ok=True)
        clean = folder / "clean.onnx"
        sample = _sample(loaded, calibration[0])
        if clean.is_file():
            graph_model = load_model(clean)
            shapes = _read_shapes(folder / "shapes.json")
        else:
            graph_model, shapes = _clean(loaded, sample)
            write_whole(folder / "shapes.json", json.dumps(shapes).encode())
            write_whole(clean, graph_model.SerializeToString(deterministic=True))
        del loaded  # a search should hold one copy of a large model, not two
        graph = Graph(graph_model, Constants(graph_model.graph), shapes, sample.size)
        layers = find_layers(graph)
        statistics = _statistics(folder / "statistics.npz", graph, layers, calibration, chosen)
        channels = map_channels(graph, layers)
        order = channel_order(channels, layers, graph.constants, statistics.moments)
        by_name = {layer.name: layer for layer in layers}
        store = PieceStore(folder / "pieces")
        parts = Parts(graph, by_name, channels, order, statistics, store)
        return_freed_memory()
        return OnnxPrepared(parts, fingerprint, folder)


def _clean(model: ModelProto, sample: Batch) -> tuple[ModelProto, dict[str, tuple[int, ...]]]:
    before = _outputs(model, sample)
    for name, array in before.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UserError(
                f"the model returns NaN or infinity on the calibration data (output '{name}');"
                " compressing it makes no sense"
            )
    clean = clean_model(model)
    seen = observe(clean, sample)
    shapes = {name: array.shape for name, array in seen.items()}
    simplify_shapes(clean, shapes, {n for n, array in seen.items() if array.dtype == np.float32})
    after = _outputs(clean, sample)
    if not same_outputs(before, after):
        raise UserError(
            "the model computes something else after constant folding and conversion to opset"
            f" {clean.opset_import[0].version}; export it with that opset"
        )
    return clean, shapes


def _outputs(model: ModelProto, sample: Batch) -> dict[str, Array]:
    found = run(open_session(model), sample.inputs)
    for name, value in found.items():
        if not isinstance(value, np.ndarray):
            raise UserError(f"the model's output '{name}' is no tensor, but {type(value).__name__}")
    return found


def _sample(model: ModelProto, batch: Batch) -> Batch:
    """Two samples, or the whole batch where the model fixes the batch dimension."""
    if not batch.size:
        raise UserError("the calibration split holds a batch without samples")
    count = batch.size if fixes_batch(model) else min(2, batch.size)
    return Batch({name: array[:count] for name, array in batch.inputs.items()})


def _read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    return {name: tuple(shape) for name, shape in json.loads(path.read_bytes()).items()}


def _statistics(
    path: Path,
    graph: Graph,
    layers: list[WeightedNode],
    calibration: Sequence[Batch],
    options: OnnxOptions,
) -> Statistics:
    if path.is_file():
        with np.load(path) as stored:
            names = [str(name) for name in stored["names"]]
            ranges = {n: (a, b) for n, (a, b) in zip(names, stored["ranges"].tolist(), strict=True)}
            keys = [key for key in stored if key.startswith("moment:")]
            moments = {key.removeprefix("moment:"): stored[key] for key in keys}
        return Statistics(ranges, moments)
    found = calibrate(graph, layers, calibration, options.calibration, options.percentile)
    temporary = path.with_suffix(".partial.npz")
    arrays: dict[str, Any] = {f"moment:{name}": array for name, array in found.moments.items()}
    arrays["names"] = np.array(list(found.ranges))
    arrays["ranges"] = np.array(list(found.ranges.values()), np.float64).reshape(-1, 2)
    np.savez(temporary, **arrays)
    temporary.replace(path)
    return found


def _fingerprint(model: ModelProto, calibration: Sequence[Batch], options: OnnxOptions) -> str:
    digest = hashlib.sha256(f"{FORMAT}:{options.model_dump_json()}".encode())
    digest.update(model.SerializeToString(deterministic=True))
    for batch in calibration:
        for name, array in batch.inputs.items():
            digest.update(f"{name}:{array.dtype}:{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]
