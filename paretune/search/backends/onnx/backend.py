"""The ONNX backend: post-training compression of ONNX graphs."""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from paretune.errors import UserError
from paretune.evaluators import Batch
from paretune.files import write_whole
from paretune.search.backends.onnx.blocks import find_blocks
from paretune.search.backends.onnx.calibration import Statistics, calibrate, observe
from paretune.search.backends.onnx.channels import Atoms, ChannelMap, map_channels
from paretune.search.backends.onnx.cleaning import (
    clean_model,
    load_model,
    same_outputs,
    simplify_shapes,
)
from paretune.search.backends.onnx.equalize import equalize
from paretune.search.backends.onnx.freeing import return_freed_memory
from paretune.search.backends.onnx.graph import Array, Constants, Graph, fixes_batch
from paretune.search.backends.onnx.integer_only import check_integer_only
from paretune.search.backends.onnx.layers import WeightedNode, find_layers
from paretune.search.backends.onnx.moments import Moments
from paretune.search.backends.onnx.options import OnnxOptions
from paretune.search.backends.onnx.parts import Parts
from paretune.search.backends.onnx.pieces import PieceStore
from paretune.search.backends.onnx.prepared import OnnxPrepared
from paretune.search.backends.onnx.pruning import channel_order
from paretune.search.backends.onnx.session import open_session, run
from paretune.search.backends.onnx.smooth import smooth
from paretune.search.backends.onnx.uint8_input import (
    Normalization,
    check_uint8,
    normalized,
    take_uint8,
)
from paretune.validation import parse_options

FORMAT = 3
"""Raise it when artifacts change although nothing that the user gave did."""


class OnnxBackend:
    """Turns policies into ONNX files without training."""

    def input_types(self, options: Mapping[str, Any]) -> dict[str, np.dtype[Any]]:
        """uint8 where `uint8_inputs` says so. See `Backend.input_types`."""
        chosen = parse_options(OnnxOptions, options, "backend")
        return dict.fromkeys(chosen.uint8_inputs, np.dtype(np.uint8))

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
        check_uint8(loaded, calibration, chosen.uint8_inputs)
        fingerprint = _fingerprint(loaded, calibration, chosen)
        folder = cache / fingerprint
        folder.mkdir(parents=True, exist_ok=True)
        clean = folder / "clean.onnx"
        sample = _sample(loaded, calibration[0])
        if clean.is_file():
            graph_model = load_model(clean)
            shapes = _read_shapes(folder / "shapes.json")
        else:
            graph_model, shapes = _clean(loaded, sample, chosen.uint8_inputs)
            graph_model = _rescaled(graph_model, shapes, calibration, sample, chosen)
            write_whole(folder / "shapes.json", json.dumps(shapes).encode())
            write_whole(clean, graph_model.SerializeToString(deterministic=True))
        del loaded  # a search should hold one copy of a large model, not two
        graph = Graph(graph_model, Constants(graph_model.graph), shapes, sample.size)
        layers = find_layers(graph)
        statistics = _statistics(folder / "statistics.npz", graph, layers, calibration, chosen)
        channels = map_channels(graph, layers)
        naive = chosen.solver == "naive"
        order = _order(folder / "order.json", graph, layers, channels, statistics, naive=naive)
        by_name = {layer.name: layer for layer in layers}
        store = PieceStore(folder / "pieces")
        parts = Parts(
            graph,
            by_name,
            channels,
            order,
            statistics,
            store,
            naive,
            chosen.activations,
            chosen.integer_only,
            tuple(find_blocks(graph, layers)),
        )
        if chosen.integer_only:
            check_integer_only(parts)
        return_freed_memory()
        return OnnxPrepared(parts, fingerprint, folder)


def _clean(
    model: ModelProto, sample: Batch, uint8: Mapping[str, Normalization]
) -> tuple[ModelProto, dict[str, tuple[int, ...]]]:
    floats = normalized(sample, uint8)
    before = _outputs(model, floats)
    for name, array in before.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UserError(
                f"the model returns NaN or infinity on the calibration data (output '{name}');"
                " compressing it makes no sense"
            )
    clean = clean_model(model)
    seen = observe(clean, floats)
    shapes = {name: array.shape for name, array in seen.items()}
    simplify_shapes(clean, shapes, {n for n, array in seen.items() if array.dtype == np.float32})
    take_uint8(clean, shapes, uint8)
    after = _outputs(clean, sample)
    if not same_outputs(before, after):
        raise UserError(
            "the model computes something else after constant folding and conversion to opset"
            f" {clean.opset_import[0].version}; export it with that opset"
        )
    return clean, shapes


def _rescaled(
    model: ModelProto,
    shapes: Mapping[str, tuple[int, ...]],
    calibration: Sequence[Batch],
    sample: Batch,
    options: OnnxOptions,
) -> ModelProto:
    """The same function with other weights, as `options` asks."""
    done = model
    if options.equalize:
        done = equalize(Graph(done, Constants(done.graph), shapes, sample.size))
    if options.smooth is not False:
        graph = Graph(done, Constants(done.graph), shapes, sample.size)
        done = smooth(graph, calibration, options.smooth)
    if done is not model and not same_outputs(_outputs(model, sample), _outputs(done, sample)):
        raise UserError(
            "the model computes something else after its channels were rescaled; set"
            " backend.equalize and backend.smooth to false"
        )
    return done


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
    folder = path.with_name("moments")
    stored = Moments(folder, layers)
    if path.is_file() and stored.complete():
        with np.load(path) as file:
            names = [str(name) for name in file["names"]]
            ranges = {n: (a, b) for n, (a, b) in zip(names, file["ranges"].tolist(), strict=True)}
        return Statistics(ranges, stored)
    found = calibrate(
        graph,
        layers,
        calibration,
        folder,
        options.calibration,
        options.percentile,
        options.activations,
    )
    content = io.BytesIO()
    np.savez(
        content,
        names=np.array(list(found.ranges), np.str_),
        ranges=np.array(list(found.ranges.values()), np.float64).reshape(-1, 2),
    )
    write_whole(path, content.getvalue())
    return found


def _order(
    path: Path,
    graph: Graph,
    layers: list[WeightedNode],
    channels: ChannelMap,
    statistics: Statistics,
    *,
    naive: bool,
) -> dict[str, Atoms]:
    """For each group its atoms, most important first; kept on disk, group by group."""
    stored: dict[str, list[int]] = json.loads(path.read_bytes()) if path.is_file() else {}
    for name in [name for name in channels.atoms if name not in stored]:
        found = channel_order(name, channels, layers, graph.constants, statistics, naive=naive)
        stored[name] = found.tolist()
        write_whole(path, json.dumps(stored).encode())
    return {name: atoms[stored[name]] for name, atoms in channels.atoms.items()}


def _fingerprint(model: ModelProto, calibration: Sequence[Batch], options: OnnxOptions) -> str:
    digest = hashlib.sha256(f"{FORMAT}:{options.model_dump_json()}".encode())
    digest.update(model.SerializeToString(deterministic=True))
    for batch in calibration:
        for name, array in batch.inputs.items():
            digest.update(f"{name}:{array.dtype}:{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]
