"""What solvers save: the error of a layer's output with them, relative to that of the naive rule.

For every layer of three networks, on the second moment of its own inputs: 4-bit weights by GPTQ
against the nearest values; half of the weights zero by SparseGPT against the smallest ones; half of
the full rank by an SVD whitened by the moment against a plain one.

Run: python -m experiments.benchmarks.solvers
"""

import json
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from experiments.benchmarks.laboratory import Laboratory
from paretune.search.backends.onnx.matrices import to_matrix
from paretune.search.backends.onnx.solvers.lowrank import factor, factor_plainly
from paretune.search.backends.onnx.solvers.patterns import UnstructuredPattern
from paretune.search.backends.onnx.solvers.problem import Problem
from paretune.search.backends.onnx.solvers.sweep import naive, sweep
from paretune.search.backends.onnx.techniques.grids import block_grid

EXPERIMENTS = ("fashion_resnet", "minilm_reuters", "ppocr_lines")
BLOCK = 32


def main() -> None:
    logging.disable(logging.WARNING)
    ratios: dict[str, list[float]] = {name: [] for name in RULES}
    print(f"{'network':16}{'layers':>8}" + "".join(f"{name:>14}" for name in RULES))
    for experiment in EXPERIMENTS:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            problems = _problems(Laboratory.of(experiment, Path(folder)))
            here = {name: [rule(p) for p in problems] for name, rule in RULES.items()}
        medians = {n: statistics.median(x for x in r if np.isfinite(x)) for n, r in here.items()}
        print(
            f"{experiment:16}{len(problems):8}"
            + "".join(f"{median:14.3f}" for median in medians.values())
            + f"   {time.perf_counter() - start:.0f} s",
            flush=True,
        )
        for name, values in here.items():
            ratios[name] += [value for value in values if np.isfinite(value)]
    print(json.dumps({name: round(statistics.median(r), 4) for name, r in ratios.items()}))


def gptq(problem: Problem) -> float:
    """4-bit, blocks of 32 inputs."""
    blocks = np.arange(problem.weights.shape[2]) // BLOCK
    nearest = naive(problem, block_grid(problem, 4, blocks, naive=True))
    solved = sweep(problem, block_grid(problem, 4, blocks, naive=False))
    return _ratio(problem, solved, nearest)


def sparsegpt(problem: Problem) -> float:
    """Half of the weights zero."""
    pattern = UnstructuredPattern(0.5)
    return _ratio(problem, sweep(problem, None, pattern), naive(problem, None, pattern))


def whitened(problem: Problem) -> float:
    """Half of the full rank; not for layers whose rank is 1."""
    rank = min(problem.weights.shape[1:]) // 2
    if not rank:
        return float("nan")
    return _ratio(problem, factor(problem, rank).product, factor_plainly(problem, rank).product)


RULES: dict[str, Callable[[Problem], float]] = {
    "gptq_4bit": gptq,
    "sparsegpt_50": sparsegpt,
    "whitened_svd": whitened,
}


def _ratio(problem: Problem, solved: np.ndarray, plain: np.ndarray) -> float:
    error = problem.error(plain)
    return problem.error(solved) / error if error else float("nan")


def _problems(laboratory: Laboratory) -> list[Problem]:
    """One for every layer that multiplies."""
    parts = laboratory.prepare()._parts
    return [
        Problem(
            to_matrix(layer, parts.graph.constants[layer.weight]),
            parts.statistics.moment(layer.name),
        )
        for layer in parts.layers.values()
        if layer.layer.op_type != "Gather"
    ]


if __name__ == "__main__":
    main()
