"""The constants of one layer under one choice."""

from dataclasses import replace

import numpy as np
from onnx import TensorProto

from paretune.errors import Infeasible
from paretune.search.backends.onnx.solvers.bias import bias_shift
from paretune.search.backends.onnx.solvers.problem import Matrix
from paretune.search.backends.onnx.techniques import Source, format_of, tensor, zeros_of
from paretune.search.backends.onnx.techniques.rank import encode_factors
from paretune.search.backends.onnx.techniques.solving import solve
from paretune.spaces import Choice, Dense, LowRank

_ZERO = np.zeros((1, 1, 1))


def encode(source: Source, choice: Choice) -> list[TensorProto]:
    """Prune, round and store the weight as `choice` says, so that the output changes least.

    The names are the layer's stem and `weight` for what the format stores, `shift` for what is to
    be added to the bias, shape (out,), left out where it is zero, and `error` for the mean square
    of what the output still changes by, relative to that of the output, shape (). A low rank has
    two layers with a stem of their own, see `encode_factors`.

    Raises:
        Infeasible: the layer cannot have the pattern.
    """
    layer, problem = source.layer, source.problem
    if isinstance(choice.sparsity, LowRank):
        tensors, found = encode_factors(source, choice, format_of(choice.precision))
    else:
        tensors, found = _encode_whole(source, choice)
    shift = bias_shift(problem.weights, found, source.mean).reshape(-1)
    if source.shift is not None:
        shift = shift + source.shift
    if shift.any():
        tensors.append(tensor(shift.astype(np.float32), f"{layer.stem}shift"))
    # What re-fitted weights leave over does not correlate with what they make: the squares add up.
    whole = source.lost + problem.error(np.zeros_like(found))
    error = (source.lost + problem.error(found)) / whole if whole else 0.0
    return [*tensors, tensor(np.array(error, np.float32), f"{layer.stem}error")]


def _encode_whole(source: Source, choice: Choice) -> tuple[list[TensorProto], Matrix]:
    layer, problem = source.layer, source.problem
    form = format_of(choice.precision)
    dense = isinstance(choice.sparsity, Dense)
    pattern = None if dense else zeros_of(choice.sparsity).pattern(source, choice.sparsity)
    grid = form.grid(replace(source, sparse=not dense), problem)
    if pattern is not None and grid is not None and grid.nearest(_ZERO, 0).any():
        raise Infeasible(f"{layer.name}: {choice.precision} has no zero for {choice.sparsity}")
    grid, found = solve(problem, grid, pattern, plainly=source.naive)
    return form.store(source, grid, found), found
