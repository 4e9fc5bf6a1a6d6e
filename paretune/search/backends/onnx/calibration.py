"""Calibration: one pass over unlabelled data that collects all that any policy can need."""

import contextlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from onnx import ModelProto
from onnxruntime.quantization.calibrate import HistogramCollector

from paretune.errors import UserError
from paretune.evaluators import Batch
from paretune.search.backends.onnx.graph import Array, Graph, fixes_batch
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.operators import may_run_in_int8
from paretune.search.backends.onnx.session import open_session, run

Method = Literal["minmax", "percentile", "entropy"]
Range = tuple[float, float]

_CHUNK_VALUES = 2**25
"""Values of all tensors together, 128 MiB in float32."""


@dataclass(frozen=True)
class Statistics:
    """What the calibration data says.

    Attributes:
        ranges: tensor name to the lowest and highest value that int8 should represent.
        moments: layer name to the mean of the square of each input channel, shape (in,).
    """

    ranges: Mapping[str, Range]
    moments: Mapping[str, Array]


def calibrate(
    graph: Graph,
    layers: Sequence[WeightedNode],
    batches: Iterable[Batch],
    method: Method = "minmax",
    percentile: float = 99.99,
) -> Statistics:
    """Run the fp32 graph over `batches` and collect ranges and second moments.

    Args:
        graph: clean.
        layers: of the graph.
        batches: calibration data; targets are not used.
        method: `minmax`; `percentile` cuts the tails that hold (100 - percentile)% of the values;
            `entropy` minimizes the KL divergence (Migacz, 8-bit inference with TensorRT, 2017).
        percentile: used by that method, in percent.

    Raises:
        UserError: the model returns NaN or infinity on this data, or there is none.
    """
    looked_at = _tensors(graph)
    session = open_session(graph.model, [name for name in looked_at if name not in graph.inputs])
    kinds = {v.name: v.type for v in (*session.get_inputs(), *session.get_outputs())}
    tensors = [name for name in looked_at if kinds.get(name) == "tensor(float)"]
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    squares: dict[str, Array] = {}
    counts: dict[str, int] = {}
    collector = HistogramCollector(method, False, 2048, 128, percentile, None)
    samples = 0
    for batch in _chunks(graph, batches):
        samples += batch.size
        values = {**batch.inputs, **run(session, batch.inputs)}
        for name in tensors:
            array = values[name]
            if not array.size:
                continue
            low[name] = min(low.get(name, np.inf), float(array.min()))
            high[name] = max(high.get(name, -np.inf), float(array.max()))
        _refuse_nonfinite(low, high, graph)
        for layer in layers:
            if layer.data in values and values[layer.data].dtype.kind == "f":
                array = values[layer.data]
                axis = 1 if layer.layer.op_type.startswith("Conv") else array.ndim - 1
                others = tuple(a for a in range(array.ndim) if a != axis)
                total = np.einsum(array, [*range(array.ndim)], array, [*range(array.ndim)], [axis])
                squares[layer.name] = squares.get(layer.name, 0) + total.astype(np.float64)
                count = int(np.prod([array.shape[a] for a in others]))
                counts[layer.name] = counts.get(layer.name, 0) + count
        if method != "minmax":
            with contextlib.redirect_stdout(io.StringIO()):
                collector.collect({name: values[name] for name in tensors if values[name].size})
    if not samples:
        raise UserError("the calibration split holds no samples")
    ranges = {name: (low[name], high[name]) for name in low}
    if method != "minmax":
        with contextlib.redirect_stdout(io.StringIO()):
            found = collector.compute_collection_result()
        ranges = {name: (float(v[0]), float(v[1])) for name, v in found.items()}
    moments = {name: (squares[name] / counts[name]).astype(np.float32) for name in squares}
    return Statistics(ranges, moments)


def observe(model: ModelProto, batch: Batch) -> dict[str, Array]:
    """Every tensor when `batch` runs through the model."""
    produced = [name for node in model.graph.node for name in node.output if name]
    session = open_session(model, produced)
    values = run(session, batch.inputs)
    tensors = {name: array for name, array in values.items() if isinstance(array, np.ndarray)}
    return tensors | dict(batch.inputs)


def _tensors(graph: Graph) -> list[str]:
    """What a layer or an operator between layers reads or writes, constants left out."""
    names: dict[str, None] = {}
    for node in graph.nodes:
        if may_run_in_int8(node):
            names |= dict.fromkeys(n for n in node.input if n and n not in graph.constants)
            names |= dict.fromkeys(node.output[:1])
    return list(names)


def _chunks(graph: Graph, batches: Iterable[Batch]) -> Iterator[Batch]:
    """The batches, cut so that all tensors of a chunk fit in a bounded memory.

    A model that fixes the batch dimension gets its batches whole.
    """
    values = sum(int(np.prod(shape)) for shape in graph.shapes.values())
    most = max(1, _CHUNK_VALUES * graph.batch // max(1, values))
    for batch in batches:
        size = batch.size if fixes_batch(graph.model) else most
        for start in range(0, batch.size, size):
            yield Batch({name: x[start : start + size] for name, x in batch.inputs.items()})


def _refuse_nonfinite(low: Mapping[str, float], high: Mapping[str, float], graph: Graph) -> None:
    for name in low:
        if not (np.isfinite(low[name]) and np.isfinite(high[name])):
            node = next((n.name for n in graph.nodes if name in n.output), "the input")
            raise UserError(
                f"the model returns NaN or infinity on the calibration data (first at '{name}',"
                f" written by {node}); compressing it makes no sense"
            )
