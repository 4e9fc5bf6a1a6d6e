"""The front: the trials that no other trial dominates, and the volume that they dominate."""

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import NDArray

from paretune.errors import UserError
from paretune.evaluators import Metric
from paretune.evaluators.comparable import difference
from paretune.search.trial import Trial


def points(trials: Sequence[Trial], objectives: Sequence[Metric]) -> NDArray[np.float64]:
    """The trials' figures with every objective turned so that less is better.

    Returns:
        shape (trials, objectives).
    """
    sign = np.array([1.0 if metric.direction == "minimize" else -1.0 for metric in objectives])
    rows = [[trial.figures[metric.name].value for metric in objectives] for trial in trials]
    costs: NDArray[np.float64] = np.array(rows).reshape(len(trials), len(objectives)) * sign
    return costs


def front(
    trials: Sequence[Trial], objectives: Sequence[Metric], *, partial: bool = False
) -> list[Trial]:
    """The feasible trials that no feasible trial dominates, best first objective first.

    Of trials with equal figures the earliest stays.

    Args:
        partial: also take trials that were measured on a part of the split only.

    Raises:
        UserError: an objective was not measured under the same conditions everywhere.
    """
    feasible = [trial for trial in trials if trial.feasible and (partial or not trial.partial)]
    if not feasible:
        return []
    _require_comparable(feasible, objectives)
    costs = points(feasible, objectives)
    kept = np.flatnonzero(moocore.is_nondominated(costs))
    order = sorted(kept, key=lambda i: (*costs[i], feasible[i].number))
    return [feasible[i] for i in order]


def hypervolume(
    trials: Sequence[Trial], objectives: Sequence[Metric], reference: NDArray[np.float64]
) -> float:
    """Volume that the feasible trials measured in full dominate, up to the point `reference`.

    Args:
        reference: shape (objectives,), turned so that less is better, as `points` does.
    """
    costs = points([t for t in trials if t.feasible and not t.partial], objectives)
    return float(moocore.hypervolume(costs, ref=reference)) if len(costs) else 0.0


def _require_comparable(trials: Sequence[Trial], objectives: Sequence[Metric]) -> None:
    first = trials[0]
    for metric in objectives:
        for trial in trials:
            if how := difference(first.figures[metric.name], trial.figures[metric.name]):
                raise UserError(
                    f"trials {first.number} and {trial.number} cannot be compared, as they were"
                    f" measured under different conditions: {metric.name}: {how}"
                )
