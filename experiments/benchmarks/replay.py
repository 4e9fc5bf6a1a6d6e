"""Problems whose truth is known, to compare samplers in seconds: tables and generated spaces."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import moocore
import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution

from experiments.benchmarks.generated import RECIPES, Generated
from experiments.benchmarks.tables.table import FOLDER, HALVES, Table
from paretune.evaluators.metric import Direction
from paretune.search.clues import Clues
from paretune.search.seeds import SPREAD, spread
from paretune.spaces import Precision
from paretune.spaces.space import Knob

Floats = NDArray[np.float64]
Settings = tuple[int, ...]
"""Index of every knob's option."""


class Problem(Protocol):
    """A space whose every policy has a true and an observed value.

    Attributes:
        knobs: named and spelled as a `Space`'s.
        directions: of the objectives, as Optuna's.
        front: true values of the front that is to be found, shape (members, objectives).
        clues: what a search knows before its first trial.
    """

    @property
    def knobs(self) -> tuple[Knob, ...]: ...

    @property
    def directions(self) -> tuple[Direction, ...]: ...

    @property
    def front(self) -> Floats: ...

    @property
    def clues(self) -> Clues: ...

    def truth(self, indices: Sequence[int]) -> Floats:
        """True objectives of a policy, shape (objectives,)."""
        ...

    def observe(self, indices: Sequence[int], rng: np.random.Generator) -> Floats:
        """What a measurement of it gives."""
        ...


class TableReplay:
    """A table in which one half of the measurements is observed.

    The latency of the other half is the true one: both are as noisy, and independent. The true
    accuracy is that on the whole search split, the observed one that on half of it. So nobody sees
    the true front; `front` is what one sees who measures every policy, with its true values.

    Args:
        observed: index in `HALVES`.
    """

    def __init__(self, table: Table, observed: int) -> None:
        self.knobs = table.knobs
        self.clues: Clues = table.about["clues"]
        metrics = table.objectives
        self.directions: tuple[Direction, ...] = tuple(
            "maximize" if metric == "accuracy" else "minimize" for metric in metrics
        )
        here, other = HALVES[observed], HALVES[1 - observed]
        rows = table.rows
        accuracy = (rows["accuracy_a"] + rows["accuracy_b"]) / 2
        exact = rows["size_bytes"]
        true = {"accuracy": accuracy, "latency_ratio": rows[f"latency_ratio_{other}"]}
        seen = {metric: rows[f"{metric}_{here}"] for metric in true}
        self._truth = np.column_stack([true.get(m, exact) for m in metrics]).astype(float)
        self._seen = np.column_stack([seen.get(m, exact) for m in metrics]).astype(float)
        self._row = {tuple(map(int, row)): i for i, row in enumerate(table.indices)}
        shown = moocore.is_nondominated(self._seen * signs(self))
        self.front: Floats = self._truth[shown]

    def truth(self, indices: Sequence[int]) -> Floats:
        found: Floats = self._truth[self._row[tuple(indices)]]
        return found

    def observe(self, indices: Sequence[int], rng: np.random.Generator) -> Floats:
        found: Floats = self._seen[self._row[tuple(indices)]]
        return found


def distributions(problem: Problem) -> dict[str, BaseDistribution]:
    """Optuna's parameters, as `paretune.search.proposer` has them: indices of options."""
    return {knob.name: CategoricalDistribution(range(len(knob.options))) for knob in problem.knobs}


def signs(problem: Problem) -> Floats:
    """Per objective 1 or -1, which turn it so that less is better."""
    return np.array([1.0 if way == "minimize" else -1.0 for way in problem.directions])


def start(knobs: Sequence[Knob]) -> list[Settings]:
    """The policies that every search begins with, as `paretune.search.seeds` has them."""
    offered: dict[str, list[str]] = {"precision": [], "channels": []}
    for knob in knobs:
        offered[knob.name.partition("/")[0]] += knob.options
    precisions = [p for p in Precision.USUAL if p in offered["precision"]]
    amounts = sorted({float(text) for text in offered["channels"]} - {0.0})
    pruned = [p for p in (Precision.FP32, Precision.INT8) if p in precisions]
    found = [uniform(knobs, precision) for precision in precisions]
    found += [uniform(knobs, p, amount) for amount in spread(amounts, SPREAD) for p in pruned]
    return list(dict.fromkeys(found))


def uniform(knobs: Sequence[Knob], precision: str, amount: float = 0.0) -> Settings:
    """Every layer at `precision` where offered, every group at the nearest amount."""

    def setting(knob: Knob) -> int:
        if knob.name.startswith("channels/"):
            return int(np.argmin([abs(float(text) - amount) for text in knob.options]))
        return knob.options.index(precision) if precision in knob.options else 0

    return tuple(map(setting, knobs))


def reference_point(problem: Problem) -> Floats:
    """Up to here the hypervolume counts: the worst true values of the first policies.

    Returns:
        shape (objectives,), turned so that less is better.
    """
    costs = [problem.truth(indices) * signs(problem) for indices in start(problem.knobs)]
    worst: Floats = np.max(costs, axis=0)
    return worst


def tables() -> dict[str, Path]:
    """Name to file of the tables that were measured."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.parquet"))}


def spaces() -> list[str]:
    """Names that `problem` knows."""
    return [*tables(), *RECIPES]


def problem(name: str, seed: int) -> Problem:
    """Another generated space for every seed; of a table, its halves change places.

    Raises:
        ValueError: no such one.
    """
    if name in RECIPES:
        return Generated(RECIPES[name], seed)
    if name not in (known := tables()):
        raise ValueError(f"unknown space '{name}': allowed are {', '.join(spaces())}")
    return TableReplay(_table(known[name]), seed % 2)


@cache
def _table(path: Path) -> Table:
    return Table.read(path)
