"""What to try next: candidates from exact search over draws, the best by expected improvement."""

import moocore
import numpy as np
from scipy.linalg import cholesky

from paretune.search.guided.arrays import Floats, Indices
from paretune.search.guided.chain import Chain, weighed
from paretune.search.guided.improvement import Improver
from paretune.search.guided.knowledge import Facts, distinct
from paretune.search.guided.models import Fitter, Models
from paretune.search.guided.structure import Structure
from paretune.search.guided.surrogate import Surrogate

ENUMERATED = 4096
"""A space of so many policies is looked at whole."""

DRAWS = 32
PATHS = 8
SLOPES = 16
FINALISTS = 256
MUTANTS = 400


class Planner:
    """Proposes policies. It remembers its surrogates, so that each fit starts from the last."""

    def __init__(self, structure: Structure, rng: np.random.Generator) -> None:
        self._structure = structure
        self._rng = rng
        self._fitter = Fitter(structure)
        self._every: Indices | None = None
        if np.prod(structure.sizes, dtype=float) <= ENUMERATED:
            grid = np.indices(structure.sizes).reshape(len(structure.sizes), -1).T
            self._every = grid.astype(np.int64)

    def propose(self, facts: Facts, count: int) -> Indices:
        """Policies that no trial has, the most promising first.

        Returns:
            shape (at most count, knobs); empty where none is left.
        """
        models = self._fitter.fit(facts)
        front = facts.x[self._notable(facts)]
        candidates = self._candidates(facts, models, front)
        if not len(candidates):
            return candidates
        limits = self._limits(facts)
        candidates = self._finalists(models, limits, candidates, facts)
        return self._best(models, limits, facts, front, candidates, count)

    def _notable(self, facts: Facts) -> Indices:
        """The trials that may be on the front."""
        rows = np.flatnonzero(facts.feasible)
        if not len(rows):
            return rows
        rank = moocore.pareto_rank(facts.y[rows])
        order = rows[np.argsort(rank, kind="stable")]
        return order[: max(int((rank == 0).sum()), min(len(rows), 40))][:120]

    def _candidates(self, facts: Facts, models: Models, front: Indices) -> Indices:
        seen = {row.tobytes() for row in (*facts.x, *facts.running)}
        if self._every is not None:
            pool = self._every
        else:
            pool = distinct([self._minimal(models), self._mutants(front)])
        return pool[[row.tobytes() not in seen for row in pool]]

    def _minimal(self, models: Models) -> Indices:
        """What draws of the surrogates hold to be optimal, for many ways to weigh objectives."""
        rng, count = self._rng, len(models.objectives)
        chain = Chain(self._structure, rng)
        tables = [
            chain.tables(model.kernel.features, model.weights(PATHS - 1, rng))
            for model in models.objectives
        ]
        # Evenly spaced slopes for two objectives; random directions for more.
        slopes = rng.standard_normal((PATHS, SLOPES, count)) * 1.5
        if count == 2:
            even = 6 * (np.arange(SLOPES) + rng.random((PATHS, SLOPES))) / SLOPES - 3
            slopes = np.stack([even, -even], axis=2)
        return chain.minimize(weighed(tables, np.exp(slopes)))

    def _mutants(self, front: Indices) -> Indices:
        """Neighbours of the front: one to three knobs changed, some knobs from another member."""
        rng, sizes = self._rng, np.array(self._structure.sizes)
        if not len(front):
            return rng.integers(sizes, size=(MUTANTS, len(sizes)))
        rows = front[rng.integers(len(front), size=MUTANTS)].copy()
        half = MUTANTS // 2
        changes = rng.integers(1, 4, size=half)
        for row, many in zip(rows[:half], changes, strict=True):
            knobs = rng.integers(len(sizes), size=many)
            row[knobs] = rng.integers(sizes[knobs])
        other = front[rng.integers(len(front), size=MUTANTS - half)]
        # A stretch of the network from one, the rest from the other.
        ends = np.sort(rng.integers(len(sizes) + 1, size=(MUTANTS - half, 2)), axis=1)
        places = np.arange(len(sizes))
        inside = (places >= ends[:, :1]) & (places < ends[:, 1:])
        rows[half:] = np.where(inside, other, rows[half:])
        return rows

    def _limits(self, facts: Facts) -> tuple[Floats, Floats]:
        """The box in which volumes count: the reference point, and the ideal one."""
        rows = facts.y[facts.feasible]
        if not len(rows):
            rows = facts.y[facts.measured]
        front = rows[moocore.is_nondominated(rows)]
        ideal, nadir = front.min(axis=0), front.max(axis=0)
        first = facts.y[facts.measured][:16].max(axis=0)
        room = 0.1 * (nadir - ideal)
        return np.maximum(nadir + room, first), ideal - room

    def _finalists(
        self, models: Models, limits: tuple[Floats, Floats], pool: Indices, facts: Facts
    ) -> Indices:
        """Those that would gain most if all went well with them, for a closer look."""
        if len(pool) <= FINALISTS:
            return pool
        improver = Improver(*limits, self._rng)
        hopes = []
        for model in models.objectives:
            mean, deviation = model.spread(pool)
            hopes.append(np.stack([model.warp.back(mean + s * deviation) for s in (-1.5, -0.5)]))
        hope = np.stack(hopes, axis=2)
        rows = facts.feasible
        gain = np.sum([improver(facts.y[rows], h) for h in hope], axis=0)
        for model in models.constraints:
            mean, deviation = model.spread(pool)
            gain = np.where(model.warp.back(mean - 1.5 * deviation) > 0, 0.0, gain)
        # What promises nothing still has an order: by what it would be at best.
        return pool[np.lexsort((hope[0].sum(axis=1), -gain))[:FINALISTS]]

    def _best(
        self,
        models: Models,
        limits: tuple[Floats, Floats],
        facts: Facts,
        front: Indices,
        candidates: Indices,
        count: int,
    ) -> Indices:
        """The candidates that are expected to improve the front most, one after the other.

        The expectation is over joint draws of the front, of what is running and of the candidates
        (Daulton et al., arXiv:2105.08195), so noise wins nothing, and what is running or was
        chosen before takes its share.
        """
        known = np.concatenate([front, facts.running])
        every = np.concatenate([known, candidates])
        y = np.stack([_draws(m, every, self._rng) for m in models.objectives], axis=2)
        fine = np.ones(y.shape[:2], dtype=bool)
        excess = np.zeros(y.shape[:2])
        for model in models.constraints:
            drawn = _draws(model, every, self._rng)
            fine &= drawn <= 0
            excess += np.maximum(drawn, 0)
        fine[:, : len(front)] = True
        improver = Improver(*limits, self._rng)
        split = len(known)
        fronts = [points[ok] for points, ok in zip(y[:, :split], fine[:, :split], strict=True)]
        free = np.ones(len(candidates), dtype=bool)
        chosen: list[int] = []
        gains = np.stack([improver(f, p) for f, p in zip(fronts, y[:, split:], strict=True)])
        gains = np.where(fine[:, split:], gains, 0.0)
        for _ in range(min(count, len(candidates))):
            expected = np.where(free, gains.mean(axis=0), -1.0)
            best = int(expected.argmax())
            if expected[best] <= 0:
                # Nothing helps any more in any draw: the least bad, which at least teaches.
                score = excess[:, split:].mean(axis=0) + 1e-9 * y[:, split:].mean(axis=(0, 2))
                best = int(np.where(free, score, np.inf).argmin())
            chosen.append(best)
            if len(chosen) == count:
                break
            free[best] = False
            for draw in range(len(fronts)):
                if fine[draw, split + best] and gains[draw, best] > 0:
                    fronts[draw] = np.vstack([fronts[draw], y[draw, split + best]])
                    again = improver(fronts[draw], y[draw, split:])
                    gains[draw] = np.where(fine[draw, split:], again, 0.0)
        return candidates[chosen]


def _draws(model: Surrogate, x: Indices, rng: np.random.Generator) -> Floats:
    """Joint draws, shape (DRAWS, policies)."""
    mean, covariance = model.warped_posterior(x)
    jitter = 1e-8 * max(1.0, float(covariance.max()))
    covariance[np.diag_indices_from(covariance)] += jitter
    for _ in range(6):
        try:
            root = cholesky(covariance, lower=True)
            break
        except np.linalg.LinAlgError:
            covariance[np.diag_indices_from(covariance)] += (jitter := 10 * jitter)
    return model.warp.back(mean + rng.standard_normal((DRAWS, len(x))) @ root.T)
