"""How much candidates would add to the volume that a front dominates."""

import moocore
import numpy as np

from paretune.search.guided.arrays import Flags, Floats

SAMPLES = 1024


class Improver:
    """Volumes below a reference point; exact for two objectives, by sampling for more.

    Args:
        reference: shape (objectives,); less is better.
        ideal: shape (objectives,); the box between the two is sampled.
    """

    def __init__(self, reference: Floats, ideal: Floats, rng: np.random.Generator) -> None:
        self._reference = reference
        self._box: Floats | None = None
        if len(reference) > 2:
            self._box = ideal + rng.random((SAMPLES, len(reference))) * (reference - ideal)

    def __call__(self, front: Floats, candidates: Floats) -> Floats:
        """What each candidate would add.

        Args:
            front: points, dominated ones allowed, shape (points, objectives).
            candidates: shape (candidates, objectives).

        Returns:
            shape (candidates,).
        """
        if self._box is not None:
            return self._sampled(front, candidates)
        if len(self._reference) == 1:
            best = min(float(self._reference[0]), float(front.min(initial=np.inf)))
            found: Floats = np.maximum(best - candidates[:, 0], 0.0)
            return found
        return self._exact(front, candidates)

    def _exact(self, front: Floats, candidates: Floats) -> Floats:
        right, top = self._reference
        front = front[(front < self._reference).all(axis=1)]
        if len(front):
            front = front[moocore.is_nondominated(front)]
            front = front[front[:, 0].argsort()]
        # Between two members the free height is that of the left one.
        left = np.concatenate([[-np.inf], front[:, 0]])
        ends = np.concatenate([front[:, 0], [right]])
        height = np.concatenate([[top], front[:, 1]])
        x, y = candidates[:, :1], candidates[:, 1:]
        width = np.maximum(np.minimum(ends, right) - np.maximum(left, x), 0.0)
        found: Floats = (width * np.maximum(height - y, 0.0)).sum(axis=1)
        return found

    def _sampled(self, front: Floats, candidates: Floats) -> Floats:
        assert self._box is not None
        free = self._box[~_dominates(front, self._box).any(axis=0)]
        found: Floats = _dominates(candidates, free).sum(axis=1) / len(self._box)
        return found


def _dominates(points: Floats, others: Floats) -> Flags:
    """Which points are no worse than which others, shape (points, others)."""
    found: Flags = np.ones((len(points), len(others)), dtype=bool)
    # One objective at a time: an array with one more axis would take several times as long.
    for ours, theirs in zip(points.T, others.T, strict=True):
        found &= ours[:, None] <= theirs
    return found
