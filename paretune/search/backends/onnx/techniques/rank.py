"""`rank:0.5`: two factors of low rank take the layer's place, each in the choice's format."""

from dataclasses import dataclass, replace

import numpy as np
from onnx import TensorProto

from paretune.errors import Infeasible
from paretune.search.backends.onnx.graph import Array
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.matrices import to_weight
from paretune.search.backends.onnx.solvers.lowrank import Factors, factor_plainly
from paretune.search.backends.onnx.solvers.problem import Matrix
from paretune.search.backends.onnx.solvers.spatial import (
    Kernel,
    factor_spatially,
    folded,
    refit_left,
)
from paretune.search.backends.onnx.techniques.solving import solve
from paretune.search.backends.onnx.techniques.split import Split, splits
from paretune.search.backends.onnx.techniques.technique import Format, Source, View, tensor
from paretune.spaces import Choice, LowRank, Precision, Sparsity

Parts = tuple[WeightedNode, WeightedNode]


@dataclass(frozen=True)
class _Factored:
    """Factors of the weights that `split.kernel` has folded."""

    split: Split
    factors: Factors

    @property
    def weights(self) -> Matrix:
        return self.split.kernel.unfold(self.factors.product)


def encode_factors(
    source: Source, choice: Choice, form: Format
) -> tuple[list[TensorProto], Matrix]:
    """Factorize the layer and store both factors in the choice's format.

    Of the forms that save as much work as is asked for, the one with the smaller error is taken.

    Returns:
        the tensors of both factors, with the layer's stem and `factors` for `parts_of`; and the
        weights that they stand for, shape (groups, rows, columns).

    Raises:
        Infeasible: the layer has no such form, or none that saves work.
    """
    layer, sparsity = source.layer, choice.sparsity
    assert isinstance(sparsity, LowRank)
    _check(layer, choice)
    problem = source.problem
    ranks = [(s, s.rank(sparsity.amount)) for s in splits(layer, source.weight.shape)]
    if not any(rank for _, rank in ranks):
        raise Infeasible(f"{layer.name}: {sparsity} saves no work on a {source.weight.shape}")
    # The naive rule as well: factors that are rounded have no guarantee to be better than it.
    options = []
    for rule in [source] if source.naive else [source, replace(source, naive=True)]:
        made = [_factored(rule, split, rank) for split, rank in ranks if rank]
        best = min(made, key=lambda one: problem.error(one.weights))
        options.append(_stored(rule, best, form))
    return min(options, key=lambda option: problem.error(option[1]))


def parts_of(layer: WeightedNode, shape: tuple[int, ...], record: Array) -> Parts:
    """The inner and the outer layer whose weights `encode_factors` has made.

    Args:
        shape: of the layer's weight, without removed channels.
        record: its tensor `factors`.
    """
    height, width, rank = record.tolist()
    return Split(layer, shape, Kernel(height, width)).parts(rank)


def find_parts(view: View, layer: WeightedNode) -> Parts | None:
    """The two layers that take the layer's place in an artifact; None if it is there as it was."""
    inner, outer = splits(layer, layer.layer.weight_shape)[0].parts(1)
    node = view.nodes.get(layer.name) if inner.name in view.nodes else None
    while node is not None and node.name != inner.name:
        node = view.producers.get(node.input[0])
    return None if node is None else (inner, outer)


def read_rank(
    layer: WeightedNode, inner: tuple[int, ...], outer: tuple[int, ...], asked: Sparsity
) -> LowRank:
    """What is saved; `asked` if that is what it means for this layer.

    Args:
        inner, outer: shapes of the weights that an artifact holds.
        asked: of the layer; anything.
    """
    kernel = Kernel(1, 1)
    shape: tuple[int, ...] = (inner[layer.in_axis], outer[layer.out_axis])
    if layer.layer.op_type == "Conv":
        size = tuple(near * far for near, far in zip(inner[2:], outer[2:], strict=True))
        shape = (outer[0], inner[1], *size)
        far = int(np.prod(outer[2:]))
        kernel = Kernel(int(np.prod(size)) // far, far)
    split, rank = Split(layer, shape, kernel), inner[layer.out_axis]
    if isinstance(asked, LowRank) and split.rank(asked.amount) == rank:
        return asked
    return LowRank(float(f"{1 - rank * split.cost:g}"))


def _check(layer: WeightedNode, choice: Choice) -> None:
    kind, asked = layer.layer.op_type, f"{layer.name}: {choice.sparsity}"
    if kind not in ("Conv", "Gemm", "MatMul"):
        raise Infeasible(f"{asked} is for Conv, Gemm and MatMul, it is a {kind}")
    if layer.group > 1:
        raise Infeasible(f"{asked} needs a convolution without groups, it has {layer.group}")
    if choice.precision == Precision.INT8:
        raise Infeasible(
            f"{asked} has no calibrated range between its factors, which int8 needs;"
            " fp32, fp16, int8-dynamic or weight-only formats need none"
        )


def _factored(source: Source, split: Split, rank: int) -> _Factored:
    problem, kernel = source.problem, split.kernel
    if source.naive:
        return _Factored(split, factor_plainly(folded(problem, kernel), rank))
    return _Factored(split, factor_spatially(problem, rank, kernel))


def _stored(source: Source, made: _Factored, form: Format) -> tuple[list[TensorProto], Matrix]:
    """Tensors of both factors and of how they came about, and the weights that they stand for."""
    problem, kernel, factors = source.problem, made.split.kernel, made.factors
    inner, outer = made.split.parts(factors.rank)
    near, right = _rounded(source, inner, factors.right, kernel.fold_moment(problem.moment), form)
    factors = Factors(factors.left, right)
    if not source.naive:
        factors = refit_left(problem, factors, kernel)
    read = kernel.spread(right)
    moment = read @ problem.moment @ np.swapaxes(read, 1, 2)
    rows = factors.left.reshape(1, -1, factors.rank * kernel.width)
    far, left = _rounded(source, outer, rows, (moment + np.swapaxes(moment, 1, 2)) / 2, form)
    record = np.array([kernel.height, kernel.width, factors.rank], np.int64)
    tensors = [*near, *far, tensor(record, f"{source.layer.stem}factors")]
    return tensors, kernel.unfold(left.reshape(factors.left.shape) @ right)


def _rounded(
    whole: Source, part: WeightedNode, matrix: Matrix, moment: Matrix, form: Format
) -> tuple[list[TensorProto], Matrix]:
    """One factor in the format, and the values that it then has."""
    weight = to_weight(part, matrix, part.layer.weight_shape).astype(np.float32)
    source = Source(part, weight, moment, np.zeros(moment.shape[:2]), naive=whole.naive)
    problem = source.problem
    grid, found = solve(problem, form.grid(source, problem), plainly=source.naive)
    return form.store(source, grid, found), found
