"""Per-sample scores that are gathered run by run."""

import numpy as np

from paretune.evaluators.intervals import Scores


class Gathered:
    """Scores by name, in the order in which they were added."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Scores]] = {}

    def add(self, name: str, scores: Scores) -> None:
        """Append the scores of some samples, shape (samples,)."""
        self._parts.setdefault(name, []).append(scores)

    def __getitem__(self, name: str) -> Scores:
        return np.concatenate(self._parts[name])
