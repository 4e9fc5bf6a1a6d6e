"""The front: the trials that no other trial dominates, and the volume that they dominate."""

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import NDArray

from paretune.evaluators import Metric
from paretune.search.board import Board, points
from paretune.search.trial import Trial


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
    board = Board([trial for trial in trials if trial.feasible], objectives)
    return [board.trials[row] for row in board.front(partial=partial)]


def hypervolume(
    trials: Sequence[Trial], objectives: Sequence[Metric], reference: NDArray[np.float64]
) -> float:
    """Volume that the feasible trials measured in full dominate, up to the point `reference`.

    Args:
        reference: shape (objectives,), turned so that less is better, as `points` does.
    """
    costs = points([t for t in trials if t.feasible and not t.partial], objectives)
    return float(moocore.hypervolume(costs, ref=reference)) if len(costs) else 0.0
