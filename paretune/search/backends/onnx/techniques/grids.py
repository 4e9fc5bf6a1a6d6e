"""Grids of the integer formats, with scales from the farthest weight or fitted to the inputs."""

import numpy as np

from paretune.search.backends.onnx.graph import Array
from paretune.search.backends.onnx.solvers.clipping import clipped
from paretune.search.backends.onnx.solvers.problem import Matrix, Problem
from paretune.search.backends.onnx.solvers.uniform import UniformGrid

_TINY = np.finfo(np.float32).tiny


def channel_grid(problem: Problem, least_scale: Array | None, *, naive: bool) -> UniformGrid:
    """Symmetric int8, [-127, 127], with one scale for every row.

    Args:
        least_scale: smaller scales are raised to it, shape (groups · rows,); None for any.
    """
    weights = problem.weights
    absmax = np.abs(weights).max(axis=2, keepdims=True, initial=0.0)
    # As ONNX Runtime's quantizer has it, to the last bit.
    scale = (2 * absmax / 254).astype(np.float32)
    scale[scale < _TINY] = 1.0
    least = None if least_scale is None else least_scale.reshape(scale.shape[:2])
    if least is not None:
        scale = np.maximum(scale, least[..., None])
    grid = UniformGrid(scale, np.zeros(weights.shape[2], np.int64), -127, 127)
    return grid if naive else clipped(problem, grid, least)


def block_grid(problem: Problem, bits: int, blocks: Array, *, naive: bool) -> UniformGrid:
    """[-2^(bits-1), 2^(bits-1) - 1] with a scale for every block of columns.

    The weight that is farthest from 0 in a block is exactly representable: its scale may be
    negative.

    Args:
        blocks: of each column, shape (columns,).
    """
    top = 2 ** (bits - 1)
    scale = (_farthest(problem.weights, blocks) / -top).astype(np.float32)
    scale[np.abs(scale) < _TINY] = 1.0
    grid = UniformGrid(scale, blocks, -top, top - 1)
    return grid if naive else clipped(problem, grid)


def _farthest(weights: Matrix, blocks: Array) -> Matrix:
    """Of every block, the weight that is farthest from 0, shape (groups, rows, blocks)."""
    order = np.argsort(blocks, kind="stable")
    starts = np.searchsorted(blocks[order], np.arange(blocks.max() + 1))
    sorted_ = weights[..., order]
    high = np.maximum.reduceat(sorted_, starts, axis=-1)
    low = np.minimum.reduceat(sorted_, starts, axis=-1)
    found: Matrix = np.where(high >= -low, high, low)
    return found
