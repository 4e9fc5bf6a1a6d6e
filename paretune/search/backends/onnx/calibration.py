"""Calibration: the fp32 model runs over unlabelled data; all that any policy can need is kept."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import ModelProto

from paretune.errors import UserError
from paretune.evaluators import Batch
from paretune.search.backends.onnx.activations import Activations
from paretune.search.backends.onnx.graph import Array, Graph, fixes_batch
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.moments import Moments, MomentSums, passes
from paretune.search.backends.onnx.operators import may_run_in_int8
from paretune.search.backends.onnx.ranges import Method, Range, RangeCollector
from paretune.search.backends.onnx.session import open_session, run
from paretune.search.backends.onnx.solvers.problem import Matrix
from paretune.search.backends.onnx.unfold import Unfolding

_CHUNK_VALUES = 2**25
"""Values of all tensors together, 128 MiB in float32."""


@dataclass(frozen=True)
class Statistics:
    """What the calibration data says.

    Attributes:
        ranges: tensor name to the lowest and highest value that int8 should represent.
        inputs: means and second moments of what the layers read.
    """

    ranges: Mapping[str, Range]
    inputs: Moments

    def moment(self, layer: str) -> Matrix:
        """E[x xᵀ] of the uncut layer's input vectors. See `Moments.moment`."""
        return self.inputs.moment(layer)

    def mean(self, layer: str) -> Matrix:
        """E[x] of the uncut layer's input vectors. See `Moments.mean`."""
        return self.inputs.mean(layer)


def calibrate(
    graph: Graph,
    layers: Sequence[WeightedNode],
    batches: Sequence[Batch],
    folder: Path,
    method: Method = "minmax",
    percentile: float = 99.99,
    activations: Activations | None = None,
) -> Statistics:
    """Run the fp32 graph over `batches`; collect ranges and the moments of the layers' inputs.

    One pass, unless the moments of all layers do not fit in memory together.

    Args:
        graph: clean.
        layers: of the graph.
        batches: calibration data; targets are not used.
        folder: where the moments are stored, each file as soon as it is whole.
        method, percentile, activations: see `RangeCollector`.

    Raises:
        UserError: the model returns NaN or infinity on this data, or there is none.
    """
    samples = sum(batch.size for batch in batches)
    if not samples:
        raise UserError("the calibration split holds no samples")
    moments = Moments(folder, layers)
    looked_at = _tensors(graph)
    ranges = RangeCollector(looked_at, method, percentile, activations)
    for number, part in enumerate(passes(moments.unfoldings)):
        sums = [MomentSums(u, _expected(graph, u, samples)) for u in part]
        first = looked_at if number == 0 else []
        for values in _values(graph, batches, [*first, *(u.tensor for u in part)]):
            if number == 0:
                ranges.add(values)
            for each in sums:
                if each.unfolding.tensor in values:
                    each.add(values[each.unfolding.tensor])
        for each in sums:
            moments.save(each)
    return Statistics(ranges.found(), moments)


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


def _expected(graph: Graph, unfolding: Unfolding, samples: int) -> int:
    """About how many vectors there are in all of the data."""
    shape = graph.shapes.get(unfolding.tensor)
    return unfolding.count(shape) * samples // graph.batch if shape else 0


def _values(
    graph: Graph, batches: Iterable[Batch], tensors: Iterable[str]
) -> Iterator[dict[str, Array]]:
    """Those of the tensors that are float32 and not empty, for one chunk after the other."""
    names = list(dict.fromkeys(tensors))
    session = open_session(graph.model, [name for name in names if name not in graph.inputs])
    for batch in chunks(graph, batches):
        all_values = {**batch.inputs, **run(session, batch.inputs)}
        values = {name: all_values[name] for name in names if name in all_values}
        floats = {n: v for n, v in values.items() if v.dtype == np.float32 and v.size}
        for name, array in floats.items():
            _refuse_nonfinite(graph, name, array)
        yield floats


def chunks(graph: Graph, batches: Iterable[Batch]) -> Iterator[Batch]:
    """The batches, cut so that all tensors of a chunk fit in a bounded memory.

    A model that fixes the batch dimension gets its batches whole.
    """
    values = sum(int(np.prod(shape)) for shape in graph.shapes.values())
    most = max(1, _CHUNK_VALUES * graph.batch // max(1, values))
    for batch in batches:
        size = batch.size if fixes_batch(graph.model) else most
        for start in range(0, batch.size, size):
            yield Batch({name: x[start : start + size] for name, x in batch.inputs.items()})


def _refuse_nonfinite(graph: Graph, tensor: str, array: Array) -> None:
    if not np.isfinite(array).all():
        node = next((n.name for n in graph.nodes if tensor in n.output), "the input")
        raise UserError(
            f"the model returns NaN or infinity on the calibration data (first at '{tensor}',"
            f" written by {node}); compressing it makes no sense"
        )
